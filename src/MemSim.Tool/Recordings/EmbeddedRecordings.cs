using System.Formats.Tar;
using System.IO.Compression;
using System.Reflection;

namespace MemSim.Tool.Recordings;

/// <summary>The recordings inside the tool, unpacked for as long as they are needed: the readers want files.</summary>
internal sealed class EmbeddedRecordings : IDisposable
{
    private const string Prefix = "data/";
    private const string Suffix = ".tar.gz";
    private readonly string _root = Directory.CreateTempSubdirectory("memsim-").FullName;

    /// <summary>What there is.</summary>
    public static IEnumerable<string> Names => Assembly.GetExecutingAssembly().GetManifestResourceNames()
        .Where(n => n.StartsWith(Prefix, StringComparison.Ordinal) && n.EndsWith(Suffix, StringComparison.Ordinal))
        .Select(n => n[Prefix.Length..^Suffix.Length]);

    /// <summary>The folder of a recording.</summary>
    public string Folder(string name)
    {
        string folder = Path.Combine(_root, name);
        if (!Directory.Exists(folder))
        {
            using Stream packed = Assembly.GetExecutingAssembly().GetManifestResourceStream(Prefix + name + Suffix) ?? throw new ArgumentException($"no recording '{name}' is embedded", nameof(name));
            using var unpacked = new GZipStream(packed, CompressionMode.Decompress);
            TarFile.ExtractToDirectory(unpacked, _root, overwriteFiles: false);
        }

        return folder;
    }

    public void Dispose()
    {
        try
        {
            Directory.Delete(_root, recursive: true);
        }
        catch (IOException)
        {
            // Left to the system's cleaning of temporary files; the result does not depend on it.
        }
    }
}
