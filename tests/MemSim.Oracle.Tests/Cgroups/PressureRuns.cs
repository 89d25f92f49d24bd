using System.Formats.Tar;
using System.IO.Compression;

namespace MemSim.Oracle.Tests.Cgroups;

/// <summary>The recorded programs under pressure, unpacked for the time of the tests.</summary>
internal static class PressureRuns
{
    private static readonly Lazy<string> Root = new(Unpack);

    /// <summary>The folder of a run, as <c>amd64k73-512M-smp1-cg-max-file</c>.</summary>
    public static string Folder(string name) => Path.Combine(Root.Value, name);

    /// <summary>The folder of a program's run on a kernel, as <c>k73</c>.</summary>
    public static string Folder(string kernel, string program) => Folder($"amd64{kernel}-512M-smp1-{program}");

    /// <summary>The names of all runs.</summary>
    public static IEnumerable<string> Names() => Directory.GetDirectories(Root.Value).Select(d => Path.GetFileName(d)!).Order(StringComparer.Ordinal);

    private static string Unpack()
    {
        string root = Directory.CreateTempSubdirectory("memsim-pressure-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(root, recursive: true);
        using var stream = new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "pressure", "runs.tar.gz")), CompressionMode.Decompress);
        TarFile.ExtractToDirectory(stream, root, overwriteFiles: true);
        return root;
    }
}
