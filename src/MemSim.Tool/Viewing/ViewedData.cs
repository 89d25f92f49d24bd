using System.IO.Compression;
using MemSim.Recordings;

namespace MemSim.Tool.Viewing;

/// <summary>What a page is opened on: the files it may fetch, and the address that says what they are.</summary>
/// <param name="Query">The address after the server's.</param>
/// <param name="Files">Contents by the names the page asks for.</param>
internal sealed record ViewedData(string Query, IReadOnlyDictionary<string, Func<byte[]>> Files)
{
    private const int SniffedBytes = 1 << 16;
    private const int MostRecordedFiles = 40;

    private static readonly string[] s_state = ["zoneinfo", "buddyinfo", "pagetypeinfo", "meminfo"];

    /// <summary>Finds out what a file or folder is.</summary>
    /// <param name="path">The file or folder; null for none.</param>
    /// <exception cref="BadInputException">There is nothing that the explorer shows.</exception>
    public static ViewedData Of(string? path)
    {
        if (path is null)
        {
            return new ViewedData(string.Empty, new Dictionary<string, Func<byte[]>>());
        }

        if (Directory.Exists(path))
        {
            return OfFolder(path);
        }

        if (!File.Exists(path))
        {
            throw new BadInputException($"{path}: no such file or folder");
        }

        string name = Path.GetFileName(path);
        bool trace = IsTrace(path);
        return trace
            ? new ViewedData("?recording&files=" + Uri.EscapeDataString(name), new Dictionary<string, Func<byte[]>> { [name] = () => File.ReadAllBytes(path) })
            : new ViewedData("?report&file=" + Uri.EscapeDataString(name), new Dictionary<string, Func<byte[]>> { [name] = () => Unpacked(path) });
    }

    private static ViewedData OfFolder(string folder)
    {
        if (TraceReplay.TracesIn(folder).Count != 0)
        {
            // What describes the machine before and after goes with the trace; what is not a recording's stays where it is.
            Dictionary<string, Func<byte[]>> files = Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal).Take(MostRecordedFiles)
                .ToDictionary(f => Path.GetFileName(f)!, f => (Func<byte[]>)(() => File.ReadAllBytes(f)), StringComparer.Ordinal);
            return new ViewedData("?recording&files=" + string.Join(',', files.Keys.Select(Uri.EscapeDataString)), files);
        }

        string[] state = [.. s_state.Select(f => Path.Combine(folder, f)).Where(File.Exists)];
        if (state.Length == 0)
        {
            throw new BadInputException($"{folder}: neither a trace (trace.txt.gz) nor files of /proc ({string.Join(", ", s_state)}) in it");
        }

        return new ViewedData("?report&file=proc.txt", new Dictionary<string, Func<byte[]>> { ["proc.txt"] = () => [.. state.SelectMany(File.ReadAllBytes)] });
    }

    private static bool IsTrace(string path)
    {
        using Stream stream = OpenUnpacked(path);
        byte[] start = new byte[SniffedBytes];
        int length = stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        ReadOnlySpan<byte> text = start.AsSpan(0, length);
        return text.IndexOf("mm_page_alloc:"u8) >= 0 || text.IndexOf("mm_page_free:"u8) >= 0 || text.IndexOf("kmem_cache_alloc:"u8) >= 0 || text.IndexOf("kmalloc:"u8) >= 0 || text.IndexOf("kfree:"u8) >= 0 || text.IndexOf("# tracer:"u8) >= 0;
    }

    private static byte[] Unpacked(string path)
    {
        using Stream stream = OpenUnpacked(path);
        using MemoryStream bytes = new();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }

    private static Stream OpenUnpacked(string path)
    {
        FileStream file = File.OpenRead(path);
        bool packed = file.ReadByte() == 0x1f && file.ReadByte() == 0x8b;
        file.Position = 0;
        return packed ? new GZipStream(file, CompressionMode.Decompress) : file;
    }
}
