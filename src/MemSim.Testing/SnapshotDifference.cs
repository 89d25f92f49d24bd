using System.Globalization;
using System.Text.RegularExpressions;
using MemSim.Observability;

namespace MemSim.Testing;

/// <summary>What is different between two snapshots, in the words of <c>/proc</c>: a line for each figure that changed.</summary>
public sealed partial class SnapshotDifference
{
    private SnapshotDifference(List<string> lines) => Lines = lines;

    /// <summary>One line each: the file, the figure, before and after.</summary>
    public IReadOnlyList<string> Lines { get; }

    /// <summary>Whether there is no difference.</summary>
    public bool IsEmpty => Lines.Count == 0;

    /// <summary>Compares two snapshots: free lists block by block, then what <c>buddyinfo</c>, <c>vmstat</c>, <c>zoneinfo</c>, <c>slabinfo</c>, <c>vmallocinfo</c> and <c>swaps</c> show.</summary>
    /// <param name="before">The first.</param>
    /// <param name="after">The second.</param>
    public static SnapshotDifference Between(MachineSnapshot before, MachineSnapshot after)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        using Machine first = before.BootToRead();
        using Machine second = after.BootToRead();
        return Between(first, second);
    }

    /// <summary>Compares two machines.</summary>
    /// <param name="first">The first.</param>
    /// <param name="second">The second.</param>
    public static SnapshotDifference Between(Machine first, Machine second)
    {
        ArgumentNullException.ThrowIfNull(first);
        ArgumentNullException.ThrowIfNull(second);
        List<string> lines = [];
        Compare(lines, "buddyinfo", Columns(first.Proc.BuddyInfo), Columns(second.Proc.BuddyInfo));
        CompareBlocks(lines, first, second);
        Compare(lines, "vmstat", Pairs(first.Proc.VmStat), Pairs(second.Proc.VmStat));
        Compare(lines, "zoneinfo", Sections(first.Proc.ZoneInfo), Sections(second.Proc.ZoneInfo));
        Compare(lines, "slabinfo", Columns(first.Proc.SlabInfo), Columns(second.Proc.SlabInfo));
        Compare(lines, "vmallocinfo", Areas(first.Proc.VmallocInfo), Areas(second.Proc.VmallocInfo));
        Compare(lines, "swaps", Columns(first.Proc.Swaps), Columns(second.Proc.Swaps));
        return new SnapshotDifference(lines);
    }

    /// <summary>The differences, a line each.</summary>
    public override string ToString() => string.Concat(Lines.Select(line => line + "\n"));

    private static void Compare(List<string> lines, string file, Dictionary<string, string> first, Dictionary<string, string> second)
    {
        foreach (string key in first.Keys.Concat(second.Keys.Where(k => !first.ContainsKey(k))))
        {
            string before = first.GetValueOrDefault(key, "none");
            string after = second.GetValueOrDefault(key, "none");
            if (before != after)
            {
                bool numbers = long.TryParse(before, NumberStyles.Integer, CultureInfo.InvariantCulture, out long a) & long.TryParse(after, NumberStyles.Integer, CultureInfo.InvariantCulture, out long b);
                lines.Add($"{file}: {key} {before} -> {after}{(numbers ? (b - a).ToString(" (+0); (-0)", CultureInfo.InvariantCulture) : "")}");
            }
        }
    }

    /// <summary>Names the first block by which lists differ that buddyinfo counts alike.</summary>
    private static void CompareBlocks(List<string> lines, Machine first, Machine second)
    {
        foreach ((ZoneState a, ZoneState b) in StateCapture.Capture(first, "first").Zones.Zip(StateCapture.Capture(second, "second").Zones))
        {
            for (int order = 0; order < Math.Min(a.FreeLists.Length, b.FreeLists.Length); order++)
            {
                for (int type = 0; type < a.FreeLists[order].Length; type++)
                {
                    long[] before = a.FreeLists[order][type];
                    long[] after = b.FreeLists[order][type];
                    int same = before.AsSpan().CommonPrefixLength(after);
                    if (same < before.Length || same < after.Length)
                    {
                        lines.Add(string.Create(CultureInfo.InvariantCulture,
                            $"free list: zone {a.Type} order {order} {(MigrateType)type}, block {same}: {At(before, same)} -> {At(after, same)}"));
                    }
                }
            }
        }
    }

    private static string At(long[] blocks, int index) => index < blocks.Length ? blocks[index].ToString(CultureInfo.InvariantCulture) : "none";

    /// <summary>Lines of "name value".</summary>
    private static Dictionary<string, string> Pairs(string text) =>
        Lists(text).Select(line => line.Split(' ', 2)).GroupBy(parts => parts[0]).ToDictionary(g => g.Key, g => g.Last().Length > 1 ? g.Last()[1].Trim() : "");

    /// <summary>Lines of a name and columns, each column a figure of its own.</summary>
    private static Dictionary<string, string> Columns(string text)
    {
        Dictionary<string, string> figures = [];
        foreach (string line in Lists(text).Where(line => line.Length != 0 && line[0] != '#'))
        {
            string[] words = Blanks().Split(line.Trim());
            int numbers = Array.FindLastIndex(words, word => !long.TryParse(word, NumberStyles.Integer, CultureInfo.InvariantCulture, out _)) + 1;
            string name = string.Join(' ', words[..numbers]);
            if (line.Contains(" : ", StringComparison.Ordinal))
            {
                name = words[0];
                numbers = 1;
            }

            for (int i = numbers; i < words.Length; i++)
            {
                figures[string.Create(CultureInfo.InvariantCulture, $"{name} [{i - numbers}]")] = words[i];
            }
        }

        return figures;
    }

    /// <summary>Lines of "name value" below headings that begin with "Node".</summary>
    private static Dictionary<string, string> Sections(string text)
    {
        Dictionary<string, string> figures = [];
        string heading = "";
        string cpu = "";
        foreach (string line in Lists(text))
        {
            if (line.StartsWith("Node", StringComparison.Ordinal))
            {
                heading = Blanks().Replace(line, " ");
                cpu = "";
                continue;
            }

            string[] words = Blanks().Split(line.Trim());
            if (words[0] == "cpu:")
            {
                cpu = $" cpu {words[^1]}";
                continue;
            }

            figures[$"{heading}{cpu} {string.Join(' ', words[..^1])}"] = words[^1];
        }

        return figures;
    }

    private static Dictionary<string, string> Areas(string text) =>
        Lists(text).Select(line => Blanks().Split(line.Trim(), 2)).GroupBy(parts => parts[0]).ToDictionary(g => g.Key, g => g.Last().Length > 1 ? g.Last()[1] : "");

    private static string[] Lists(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    [GeneratedRegex(@"\s+", RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Blanks();
}
