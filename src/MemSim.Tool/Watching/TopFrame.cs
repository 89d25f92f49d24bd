using System.Globalization;
using MemSim.Tool.Json;
using MemSim.Tool.Views;

namespace MemSim.Tool.Watching;

/// <summary>A machine at a moment, as <c>top</c> shows one: memory, what happened since the moment before, zones, the largest processes.</summary>
/// <param name="At">Where the run is: the line of a recording, pages touched by a scenario.</param>
/// <param name="Memory">Figures of <c>/proc/meminfo</c> in KiB.</param>
/// <param name="Events">Counters of <c>/proc/vmstat</c>, summed up since the start.</param>
/// <param name="Zones">The zones with their free blocks.</param>
/// <param name="Processes">The largest processes first.</param>
internal sealed record TopFrame(long At, IReadOnlyDictionary<string, long> Memory, IReadOnlyDictionary<string, long> Events, IReadOnlyList<ZoneDocument> Zones, IReadOnlyList<TopProcess> Processes)
{
    private const int MostProcesses = 10;

    private static readonly string[] MemoryRows = ["MemTotal", "MemFree", "Active", "Inactive", "AnonPages", "Mapped", "Slab", "PageTables", "SwapTotal", "SwapFree"];
    private static readonly string[] EventRows = ["pgfault", "pgmajfault", "pgsteal_kswapd", "pgsteal_direct", "pswpin", "pswpout", "oom_kill", "compact_stall"];

    /// <summary>Looks at a machine, which is not changed by that.</summary>
    public static TopFrame Of(Machine machine, long at) => new(
        at,
        Rows(machine.Proc.MemInfo, MemoryRows),
        Rows(machine.Proc.VmStat, EventRows),
        ZoneFigures.Of(machine),
        [.. machine.Processes.Where(p => p.IsAlive)
            .Select(p => new TopProcess(p.Pid, p.Name, p.Mm.ResidentPages, p.Mm.SwapEntries, p.MinorFaults, p.MajorFaults))
            .OrderByDescending(p => p.ResidentPages).ThenBy(p => p.Pid).Take(MostProcesses)]);

    private static Dictionary<string, long> Rows(string text, string[] names)
    {
        Dictionary<string, long> rows = new(StringComparer.Ordinal);
        foreach (string line in text.Split('\n'))
        {
            string[] words = line.Split([' ', ':'], StringSplitOptions.RemoveEmptyEntries);
            if (words.Length >= 2 && names.Contains(words[0], StringComparer.Ordinal) && long.TryParse(words[1], CultureInfo.InvariantCulture, out long value))
            {
                rows[words[0]] = value;
            }
        }

        return rows;
    }
}

/// <summary>A process in a <see cref="TopFrame"/>; memory in pages.</summary>
internal sealed record TopProcess(int Pid, string Name, long ResidentPages, long SwapEntries, long MinorFaults, long MajorFaults);
