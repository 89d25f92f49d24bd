using System.Globalization;
using System.Text;

namespace MemSim.Scenarios;

/// <summary>What a scenario came to: its processes, faults by kind and the machine over time. All members are plain numbers and texts, to be written as JSON as they are.</summary>
public sealed record ScenarioReport
{
    /// <summary>Columns of the table of samples, behind phase and touches.</summary>
    private static readonly (string Name, int Width, Func<ScenarioSample, long> Value)[] Columns =
    [
        ("procs", 6, s => s.Processes), ("free", 9, s => s.FreePages), ("anon", 9, s => s.AnonPages), ("file", 9, s => s.FilePages), ("dirty", 7, s => s.DirtyPages), ("slab", 7, s => s.SlabPages), ("tables", 7, s => s.PageTablePages),
        ("swap", 9, s => s.SwapUsedPages), ("unus9", 6, s => s.UnusableForOrder9), ("faults", 10, s => s.Faults), ("major", 8, s => s.MajorFaults), ("reclaimed", 10, s => s.PagesReclaimed), ("oom", 4, s => s.OomKills),
    ];

    /// <summary>The seed: the same one on the same machine gives the same report.</summary>
    public ulong Seed { get; init; }

    /// <summary>The processes in the order in which they were made; those of fork trees are summed up in the first of their tree.</summary>
    public IReadOnlyList<ScenarioProcess> Processes { get; init; } = [];

    /// <summary>Faults by what resolved them.</summary>
    public ScenarioFaults Faults { get; init; } = new();

    /// <summary>The machine over time; the first sample is before the scenario, the last one after it, with every process gone.</summary>
    public IReadOnlyList<ScenarioSample> Samples { get; init; } = [];

    /// <summary>What the OOM killer said each time; the first hundred reports.</summary>
    public IReadOnlyList<string> OomReports { get; init; } = [];

    /// <summary>The scenario's cgroups, as they were described.</summary>
    public IReadOnlyList<ScenarioCgroup> Cgroups { get; init; } = [];

    /// <summary>The sample after the scenario.</summary>
    public ScenarioSample Last => Samples[^1];

    /// <summary>The report as tables of text.</summary>
    public string ToText() => ToText(int.MaxValue);

    /// <summary>The report as tables of text for a terminal: a table of samples that is wider comes in parts, one below the other, and long lines are broken.</summary>
    /// <param name="width">Columns of the terminal, at least 80.</param>
    public string ToText(int width)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 80);
        StringBuilder text = new();
        AppendProcesses(text);
        ScenarioFaults f = Faults;
        text.Append('\n');
        AppendLine(text, width, $"faults: {Last.Faults} ({Last.MajorFaults} major): {f.ZeroFilled} zero-filled, {f.ZeroPage} zero page, {f.CopyOnWrite} copy on write, {f.File} file ({f.FileMajor} major), {f.SharedMemory} shared memory, {f.SwapIn} swap-in ({f.SwapInMajor} major), {f.Other} other");
        AppendLine(text, width, $"TLB: {Last.TlbMisses} misses, {Last.TlbWalks} walks; {Last.Cycles} cycles for {Last.Touches} touches");
        AppendLine(text, width, $"reclaim: {Last.PagesScanned} pages scanned, {Last.PagesReclaimed} reclaimed ({Last.PagesReclaimedByKswapd} by kswapd), {Last.DirectReclaims} direct reclaims; swap: {Last.SwappedOut} out, {Last.SwappedIn} in; compaction: {Last.CompactionStalls} stalls; OOM killer: {Last.OomKills} kills");
        AppendCgroups(text, width);
        AppendSamples(text, width);
        return text.ToString();
    }

    /// <summary>A line, broken at blanks where it is too long; what follows is indented.</summary>
    private static void AppendLine(StringBuilder text, int width, FormattableString line)
    {
        string left = line.ToString(CultureInfo.InvariantCulture);
        for (int blank; left.Length > width && (blank = left.LastIndexOf(' ', width)) > 2;)
        {
            text.Append(left.AsSpan(0, blank)).Append('\n');
            left = "  " + left[(blank + 1)..];
        }

        text.Append(left).Append('\n');
    }

    private void AppendCgroups(StringBuilder text, int width)
    {
        foreach (ScenarioCgroup c in Cgroups)
        {
            AppendLine(text, width, $"cgroup {c.Path}: peak {c.PeakPages} pages; {c.Events}");
        }
    }

    private void AppendProcesses(StringBuilder text)
    {
        text.Append(CultureInfo.InvariantCulture, $"{"process",-16}{"pid",6}{"children",9}{"touches",12}{"minor",10}{"major",8}{"failed",8}  ended\n");
        foreach (ScenarioProcess p in Processes)
        {
            text.Append(CultureInfo.InvariantCulture, $"{p.Name,-16}{p.Pid,6}{p.Children,9}{p.Touches,12}{p.MinorFaults,10}{p.MajorFaults,8}{p.Failures,8}  {p.Ended}\n");
        }
    }

    private void AppendSamples(StringBuilder text, int width)
    {
        const int moment = 24;
        int first = 0;
        while (first < Columns.Length)
        {
            int end = first;
            for (long used = moment; end < Columns.Length && (used += Columns[end].Width) <= width; end++)
            {
            }

            text.Append(CultureInfo.InvariantCulture, $"\n{"phase",-12}{"touches",12}");
            foreach ((string name, int wide, _) in Columns.AsSpan(first, end - first))
            {
                text.Append(name.PadLeft(wide));
            }

            text.Append('\n');
            foreach (ScenarioSample s in Samples)
            {
                text.Append(CultureInfo.InvariantCulture, $"{(s.Phase.Length > 11 ? s.Phase[..11] : s.Phase),-12}{s.Touches,12}");
                foreach ((_, int wide, Func<ScenarioSample, long> value) in Columns.AsSpan(first, end - first))
                {
                    text.Append(value(s).ToString(CultureInfo.InvariantCulture).PadLeft(wide));
                }

                text.Append('\n');
            }

            first = end;
        }
    }
}

/// <summary>What became of a process of a scenario and its children.</summary>
public sealed record ScenarioProcess
{
    /// <summary>Its name.</summary>
    public string Name { get; init; } = "";

    /// <summary>Its process id.</summary>
    public int Pid { get; init; }

    /// <summary>Processes of its fork trees, all generations.</summary>
    public long Children { get; init; }

    /// <summary>Touches made, those of the children included.</summary>
    public long Touches { get; init; }

    /// <summary>Faults that needed no reading, those of the children included.</summary>
    public long MinorFaults { get; init; }

    /// <summary>Faults that had to read, those of the children included.</summary>
    public long MajorFaults { get; init; }

    /// <summary>Calls refused: forks, mappings, blocks and file operations.</summary>
    public long Failures { get; init; }

    /// <summary>Children that did not end of their own.</summary>
    public long ChildrenKilled { get; init; }

    /// <summary>How it ended: <c>done</c>, or the signal it died of.</summary>
    public string Ended { get; init; } = "";
}

/// <summary>Page faults of a scenario by what resolved them.</summary>
public sealed record ScenarioFaults
{
    /// <summary>A zeroed page of anonymous memory, also in place of the page of zeros.</summary>
    public long ZeroFilled { get; init; }

    /// <summary>The shared page of zeros, for reading.</summary>
    public long ZeroPage { get; init; }

    /// <summary>A write to a page shared with a relative or to a private page of a file: copied, or kept when nobody else has it any more.</summary>
    public long CopyOnWrite { get; init; }

    /// <summary>A page of a file.</summary>
    public long File { get; init; }

    /// <summary>Of those, the ones that had to be read.</summary>
    public long FileMajor { get; init; }

    /// <summary>A page of shared memory.</summary>
    public long SharedMemory { get; init; }

    /// <summary>A page brought back from swap, or found in the swap cache.</summary>
    public long SwapIn { get; init; }

    /// <summary>Of those, the ones that had to be read.</summary>
    public long SwapInMajor { get; init; }

    /// <summary>Anything else, spurious faults and those that ended in a signal included.</summary>
    public long Other { get; init; }
}
