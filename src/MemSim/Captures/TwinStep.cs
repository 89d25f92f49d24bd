using System.Globalization;
using MemSim.Zones;

namespace MemSim.Captures;

/// <summary>One folder below a capture's <c>runtime</c>: the figures after something was changed on the running machine.</summary>
/// <remarks>The folders are named after what was done; sorted in the order in which it was done.</remarks>
internal sealed class TwinStep
{
    private const string WithMinFree = "mfk";

    private TwinStep(string directory)
    {
        Directory = directory;
        Label = Path.GetFileName(directory);
        string noteFile = Path.Combine(directory, "note");
        string note = File.Exists(noteFile) ? File.ReadAllText(noteFile) : "";
        Refused = note.Contains("refused", StringComparison.Ordinal);
        string[] quoted = note.Split('\'');
        NotedValue = quoted.Length == 3 && !Refused ? quoted[1] : null;
        string label = Label;
        if (label.StartsWith(WithMinFree, StringComparison.Ordinal) && label.IndexOf('-', StringComparison.Ordinal) is int dash and > 0)
        {
            HeldMinFree = label[WithMinFree.Length..dash];
            label = label[(dash + 1)..];
        }

        Written = VmSysctls.Names.FirstOrDefault(n => label.StartsWith(n + "-", StringComparison.Ordinal));
        IsRestored = label.EndsWith("-restored", StringComparison.Ordinal);
        IsBefore = label.EndsWith("-before", StringComparison.Ordinal);
    }

    /// <summary>The folder.</summary>
    public string Directory { get; }

    /// <summary>Its name.</summary>
    public string Label { get; }

    /// <summary>Whether the kernel refused the change.</summary>
    public bool Refused { get; }

    /// <summary>The <c>min_free_kbytes</c> that the name says was in force (<c>mfk16384-…</c>), null where it says none.</summary>
    public string? HeldMinFree { get; }

    /// <summary>The value that the kernel accepted according to the note, null where there is none.</summary>
    public string? NotedValue { get; }

    /// <summary>The setting that was written, null where it was something else.</summary>
    public string? Written { get; }

    /// <summary>Whether the figures are those before the first change of a series.</summary>
    public bool IsBefore { get; }

    /// <summary>Whether the setting was put back to what it was before the series.</summary>
    public bool IsRestored { get; }

    /// <summary>The steps of a capture in the order in which they were taken.</summary>
    public static List<TwinStep> Of(string directory)
    {
        string runtime = Path.Combine(directory, "runtime");
        var steps = new List<TwinStep>();
        if (System.IO.Directory.Exists(runtime))
        {
            foreach (string step in System.IO.Directory.GetDirectories(runtime))
            {
                if (File.Exists(Path.Combine(step, "zoneinfo")))
                {
                    steps.Add(new TwinStep(step));
                }
            }
        }

        steps.Sort(static (x, y) => x.Order().CompareTo(y.Order()));
        return steps;
    }

    /// <summary>Settings one after the other, then CPUs, then memory blocks from the highest down, then what reads them all again.</summary>
    private (int Series, int Block, int Stage, long Value, string Label) Order()
    {
        if (Written is not null)
        {
            int series = Written switch
            {
                VmSysctlTable.MinFreeKbytes => 0,
                VmSysctlTable.WatermarkScaleFactor => 1,
                VmSysctlTable.LowmemReserveRatio => 2,
                VmSysctlTable.PercpuPagelistHighFraction => 3,
                _ => 4,
            };
            return (series + (HeldMinFree is null ? 0 : 10), 0, StageOf("-before", "-restored"), Value(), Label);
        }

        if (Label.StartsWith("cpu", StringComparison.Ordinal))
        {
            return (20, 0, StageOf("-before", "-online-again"), 0, Label);
        }

        const string MemoryBlock = "memblock";
        if (Label.StartsWith(MemoryBlock, StringComparison.Ordinal))
        {
            int end = Label.IndexOf('-', StringComparison.Ordinal);
            _ = int.TryParse(Label.AsSpan(MemoryBlock.Length, Math.Max(end, MemoryBlock.Length) - MemoryBlock.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int block);
            string[] stages = ["-before", "-offline", "-then-online_movable", "-then-offline", "-then-online_kernel"];
            return (30, -block, Array.IndexOf(stages, end < 0 ? "" : Label[end..]), 0, Label);
        }

        return (40, 0, 0, 0, Label);
    }

    /// <summary>Values were written in rising order, those to be refused last.</summary>
    private long Value() =>
        Refused ? long.MaxValue : long.TryParse(Label.AsSpan(Label.LastIndexOf('-') + 1), NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value : 0;

    private int StageOf(string first, string last) =>
        Label.EndsWith(first, StringComparison.Ordinal) ? 0 : Label.EndsWith(last, StringComparison.Ordinal) ? 2 : 1;
}
