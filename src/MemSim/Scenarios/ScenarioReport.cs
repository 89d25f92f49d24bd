using System.Globalization;
using System.Text;

namespace MemSim.Scenarios;

/// <summary>What a scenario came to: its processes, faults by kind and the machine over time. All members are plain numbers and texts, to be written as JSON as they are.</summary>
public sealed record ScenarioReport
{
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

    /// <summary>The sample after the scenario.</summary>
    public ScenarioSample Last => Samples[^1];

    /// <summary>The report as tables of text.</summary>
    public string ToText()
    {
        StringBuilder text = new();
        AppendProcesses(text);
        ScenarioFaults f = Faults;
        text.Append(CultureInfo.InvariantCulture, $"\nfaults: {Last.Faults} ({Last.MajorFaults} major): {f.ZeroFilled} zero-filled, {f.ZeroPage} zero page, {f.CopyOnWrite} copy on write, {f.File} file ({f.FileMajor} major), {f.SharedMemory} shared memory, {f.SwapIn} swap-in ({f.SwapInMajor} major), {f.Other} other\n");
        text.Append(CultureInfo.InvariantCulture, $"TLB: {Last.TlbMisses} misses, {Last.TlbWalks} walks; {Last.Cycles} cycles for {Last.Touches} touches\n");
        text.Append(CultureInfo.InvariantCulture, $"reclaim: {Last.PagesScanned} pages scanned, {Last.PagesReclaimed} reclaimed ({Last.PagesReclaimedByKswapd} by kswapd), {Last.DirectReclaims} direct reclaims; swap: {Last.SwappedOut} out, {Last.SwappedIn} in; compaction: {Last.CompactionStalls} stalls; OOM killer: {Last.OomKills} kills\n\n");
        AppendSamples(text);
        return text.ToString();
    }

    private void AppendProcesses(StringBuilder text)
    {
        text.Append(CultureInfo.InvariantCulture, $"{"process",-16}{"pid",6}{"children",9}{"touches",12}{"minor",10}{"major",8}{"failed",8}  ended\n");
        foreach (ScenarioProcess p in Processes)
        {
            text.Append(CultureInfo.InvariantCulture, $"{p.Name,-16}{p.Pid,6}{p.Children,9}{p.Touches,12}{p.MinorFaults,10}{p.MajorFaults,8}{p.Failures,8}  {p.Ended}\n");
        }
    }

    private void AppendSamples(StringBuilder text)
    {
        text.Append(CultureInfo.InvariantCulture,
            $"{"phase",-12}{"touches",12}{"procs",6}{"free",9}{"anon",9}{"file",9}{"dirty",7}{"slab",7}{"tables",7}{"swap",9}{"unus9",6}{"faults",10}{"major",8}{"reclaimed",10}{"oom",4}\n");
        foreach (ScenarioSample s in Samples)
        {
            string phase = s.Phase.Length > 11 ? s.Phase[..11] : s.Phase;
            text.Append(CultureInfo.InvariantCulture,
                $"{phase,-12}{s.Touches,12}{s.Processes,6}{s.FreePages,9}{s.AnonPages,9}{s.FilePages,9}{s.DirtyPages,7}{s.SlabPages,7}{s.PageTablePages,7}{s.SwapUsedPages,9}{s.UnusableForOrder9,6}{s.Faults,10}{s.MajorFaults,8}{s.PagesReclaimed,10}{s.OomKills,4}\n");
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
