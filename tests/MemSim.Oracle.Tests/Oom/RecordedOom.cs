using System.Globalization;
using System.IO.Compression;
using System.Text.RegularExpressions;
using MemSim.Oom;

namespace MemSim.Oracle.Tests.Oom;

/// <summary>The report of an OOM kill of a real kernel 6.1, read back into what the kernel knew.</summary>
internal sealed partial class RecordedOom
{
    private RecordedOom(string[] lines) => Lines = lines;

    public string[] Lines { get; }

    /// <summary>The lines of the task table, heading included.</summary>
    public string[] Table => [.. Lines.SkipWhile(l => l != "Tasks state (memory values in pages):").TakeWhile(l => l.StartsWith('[') || l.StartsWith("Tasks", StringComparison.Ordinal))];

    public string Summary => Lines.Single(l => l.StartsWith("oom-kill:", StringComparison.Ordinal));

    public string Killed => Lines.Single(l => l.Contains(": Killed process ", StringComparison.Ordinal));

    public string? Reaped => Lines.SingleOrDefault(l => l.StartsWith("oom_reaper: reaped", StringComparison.Ordinal));

    /// <summary>Memory that the page allocator manages, and swap, in pages: what <c>oom_score_adj</c> is a part of.</summary>
    public long AllPages => Number("^([0-9]+) pages RAM$") - Number("^([0-9]+) pages reserved$") + (Number("^Total swap = ([0-9]+)kB$") >> 2);

    public IEnumerable<OomTask> Tasks => Table.Skip(2).Select(l => Table[1].Contains("rss_anon", StringComparison.Ordinal) ? RowWithKinds(l) : Row(l));

    /// <summary>The row of the process killed, with its memory by kind, which only the kill line tells.</summary>
    public OomTask Victim
    {
        get
        {
            Match kill = KillLine().Match(Killed);
            return Tasks.Single(t => t.Pid == Value(kill, 1)) with { AnonPages = Value(kill, 3) >> 2, FilePages = Value(kill, 4) >> 2, SharedMemoryPages = Value(kill, 5) >> 2 };
        }
    }

    public static RecordedOom Of(string name)
    {
        using var file = new StreamReader(new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "oom", name + ".txt.gz")), CompressionMode.Decompress));
        return new RecordedOom(file.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    private static OomTask Row(string line)
    {
        Match row = TableLine().Match(line);
        return new OomTask
        {
            Pid = (int)Value(row, 1),
            Uid = (int)Value(row, 2),
            Tgid = (int)Value(row, 3),
            TotalPages = Value(row, 4),
            AnonPages = Value(row, 5),
            PageTableBytes = Value(row, 6),
            SwapEntries = Value(row, 7),
            ScoreAdj = (int)Value(row, 8),
            Name = row.Groups[9].Value,
        };
    }

    private static OomTask RowWithKinds(string line)
    {
        Match row = TableLineWithKinds().Match(line);
        return new OomTask
        {
            Pid = (int)Value(row, 1),
            Uid = (int)Value(row, 2),
            Tgid = (int)Value(row, 3),
            TotalPages = Value(row, 4),
            AnonPages = Value(row, 6),
            FilePages = Value(row, 7),
            SharedMemoryPages = Value(row, 8),
            PageTableBytes = Value(row, 9),
            SwapEntries = Value(row, 10),
            ScoreAdj = (int)Value(row, 11),
            Name = row.Groups[12].Value,
        };
    }

    private static long Value(Match match, int group) => long.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    private long Number(string pattern) => Value(Lines.Select(l => Regex.Match(l, pattern)).Single(m => m.Success), 1);

    [GeneratedRegex(@"^\[ *(\d+)\] +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(-?\d+) (.*)$")]
    private static partial Regex TableLine();

    [GeneratedRegex(@"^\[ *(\d+)\] +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(-?\d+) (.*)$")]
    private static partial Regex TableLineWithKinds();

    [GeneratedRegex(@"Killed process (\d+) \((.*)\) total-vm:\d+kB, anon-rss:(\d+)kB, file-rss:(\d+)kB, shmem-rss:(\d+)kB")]
    private static partial Regex KillLine();
}
