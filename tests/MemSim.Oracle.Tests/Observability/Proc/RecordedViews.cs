using System.Formats.Tar;
using System.IO.Compression;

namespace MemSim.Oracle.Tests.Observability.Proc;

/// <summary>What kernels printed beside their recorded free lists, and the views of the captured machines, unpacked for the time of the tests.</summary>
public sealed class RecordedViews : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("memsim-views-").FullName;

    public RecordedViews()
    {
        using var stream = new GZipStream(File.OpenRead(Archive), CompressionMode.Decompress);
        TarFile.ExtractToDirectory(stream, _root, overwriteFiles: true);
    }

    private static string Archive => Path.Combine(AppContext.BaseDirectory, "Data", "views", "views.tar.gz");

    /// <summary>Every recorded state: a folder of a trace and <c>before</c> or <c>after</c>.</summary>
    public static IEnumerable<(string Trace, string When)> States()
    {
        foreach (string name in Names().Where(n => n.EndsWith("-mmlists", StringComparison.Ordinal)))
        {
            string[] parts = name.Split('/');
            yield return (parts[^2], parts[^1].Split('-')[0]);
        }
    }

    public static IEnumerable<string> Reports() => Names().Where(n => n.Contains("/reports/", StringComparison.Ordinal)).Select(n => Path.GetFileName(n)!);

    public static bool HasNodeFiles(string machine) => Names().Exists(n => n.Contains($"/captures/{machine}/node/", StringComparison.Ordinal));

    public string Read(string trace, string file) => File.ReadAllText(PathOf(trace, file));

    public string PathOf(string folder, string file) => Path.Combine(_root, folder, file);

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private static List<string> Names()
    {
        using var stream = new GZipStream(File.OpenRead(Archive), CompressionMode.Decompress);
        using var tar = new TarReader(stream);
        List<string> names = [];
        while (tar.GetNextEntry() is { } entry)
        {
            if (entry.EntryType == TarEntryType.RegularFile)
            {
                names.Add(entry.Name);
            }
        }

        return names;
    }
}
