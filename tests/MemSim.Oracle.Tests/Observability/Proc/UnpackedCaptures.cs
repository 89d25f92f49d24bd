using System.Formats.Tar;
using System.IO.Compression;

namespace MemSim.Oracle.Tests.Observability.Proc;

/// <summary>Files of captured machines that lie in other archives, unpacked for the time of the tests.</summary>
public sealed class UnpackedCaptures : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("memsim-captured-").FullName;

    public UnpackedCaptures()
    {
        Unpack("slab", "sysfs.tar.gz");
        Unpack("views", "vmallocinfo.tar.gz");
    }

    /// <summary>The machines of an archive below <c>Data</c>.</summary>
    public static IEnumerable<string> NamesOf(string room, string archive)
    {
        using GZipStream stream = new(File.OpenRead(PathOf(room, archive)), CompressionMode.Decompress);
        using TarReader tar = new(stream);
        SortedSet<string> names = new(StringComparer.Ordinal);
        while (tar.GetNextEntry() is { } entry)
        {
            string[] parts = entry.Name.Split('/', StringSplitOptions.RemoveEmptyEntries);
            if (entry.EntryType == TarEntryType.RegularFile)
            {
                names.Add(parts[^2]);
            }
        }

        return names;
    }

    public string Folder(string room, string machine) => Path.Combine(_root, room, machine);

    /// <summary>A copy of a folder, to add files to.</summary>
    public string CopyOf(string folder)
    {
        string copy = Path.Combine(_root, "copies", Path.GetFileName(folder));
        foreach (string file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(copy, Path.GetRelativePath(folder, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target, overwrite: true);
        }

        return copy;
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private static string PathOf(string room, string archive) => Path.Combine(AppContext.BaseDirectory, "Data", room, archive);

    private void Unpack(string room, string archive)
    {
        string target = Path.Combine(_root, room);
        Directory.CreateDirectory(target);
        using GZipStream stream = new(File.OpenRead(PathOf(room, archive)), CompressionMode.Decompress);
        TarFile.ExtractToDirectory(stream, target, overwriteFiles: true);
    }
}
