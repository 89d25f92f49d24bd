using System.Formats.Tar;
using System.IO.Compression;

namespace MemSim.Oracle.Tests.Figures;

/// <summary>The files of the captured machines that a twin is computed from and compared with, unpacked for the time of the tests.</summary>
public sealed class CaptureArchive : IDisposable
{
    private static readonly string Archive = Path.Combine(AppContext.BaseDirectory, "Data", "captures", "figures.tar.gz");
    private readonly string _root = Directory.CreateTempSubdirectory("memsim-captures-").FullName;

    private int _copies;

    public CaptureArchive()
    {
        using var stream = new GZipStream(File.OpenRead(Archive), CompressionMode.Decompress);
        TarFile.ExtractToDirectory(stream, _root, overwriteFiles: true);
    }

    /// <summary>The names of all captured machines.</summary>
    public static IEnumerable<string> Names()
    {
        using var stream = new GZipStream(File.OpenRead(Archive), CompressionMode.Decompress);
        using var tar = new TarReader(stream);
        var names = new SortedSet<string>(StringComparer.Ordinal);
        while (tar.GetNextEntry() is TarEntry entry)
        {
            string[] parts = entry.Name.Split('/', StringSplitOptions.RemoveEmptyEntries);
            names.Add(parts[0] == "." ? parts[1] : parts[0]);
        }

        return names;
    }

    public string Folder(string name) => Path.Combine(_root, name);

    /// <summary>A copy of a captured machine to change files in.</summary>
    public string Copy(string name)
    {
        string target = Path.Combine(_root, "copies", (++_copies).ToString(), name);
        foreach (string file in Directory.GetFiles(Folder(name), "*", SearchOption.AllDirectories))
        {
            string copy = Path.Combine(target, Path.GetRelativePath(Folder(name), file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }

        return target;
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);
}
