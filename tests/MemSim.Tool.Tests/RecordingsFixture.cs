using System.IO.Compression;
using MemSim.Tool.Recordings;

[assembly: Xunit.AssemblyFixture(typeof(MemSim.Tool.Tests.RecordingsFixture))]

namespace MemSim.Tool.Tests;

/// <summary>The recordings inside the tool as folders, and copies of them to damage.</summary>
public sealed class RecordingsFixture : IDisposable
{
    private readonly EmbeddedRecordings _recordings = new();
    private readonly string _scratch = Directory.CreateTempSubdirectory("memsim-tool-tests-").FullName;
    private readonly Lock _lock = new();
    private int _copies;

    public string Twin => Folder("amd64-256M-runtime");

    public string Run => Folder("512M-chain-1a");

    public string Trace => Folder("amd64-256M-smp1-fork");

    public string EmptyFolder() => Directory.CreateDirectory(Path.Combine(_scratch, $"{Interlocked.Increment(ref _copies)}")).FullName;

    public string CopyOf(string folder)
    {
        string target = Path.Combine(EmptyFolder(), Path.GetFileName(folder));
        foreach (string file in Directory.GetFiles(folder, "*", SearchOption.AllDirectories))
        {
            string copy = Path.Combine(target, Path.GetRelativePath(folder, file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }

        return target;
    }

    /// <summary>A folder with the recorded GFP flags as the oracle lays them out.</summary>
    public string GfpFolder(string name)
    {
        string folder = EmptyFolder();
        File.Copy(Path.Combine(AppContext.BaseDirectory, "Data", "gfp", name + ".jsonl.gz"), Path.Combine(folder, "gfp.jsonl.gz"));
        return folder;
    }

    public static string Unpack(string path)
    {
        using var reader = new StreamReader(new GZipStream(File.OpenRead(path), CompressionMode.Decompress));
        return reader.ReadToEnd();
    }

    public static void Pack(string path, string text)
    {
        using var writer = new StreamWriter(new GZipStream(File.Create(path), CompressionLevel.Fastest));
        writer.Write(text);
    }

    public void Dispose()
    {
        _recordings.Dispose();
        Directory.Delete(_scratch, recursive: true);
    }

    private string Folder(string name)
    {
        lock (_lock)
        {
            return _recordings.Folder(name);
        }
    }
}
