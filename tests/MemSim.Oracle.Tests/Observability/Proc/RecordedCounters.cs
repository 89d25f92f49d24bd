using System.Globalization;
using System.Reflection;
using MemSim.Captures;
using MemSim.Observability;
using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim.Oracle.Tests.Observability.Proc;

/// <summary>Puts the counters of subsystems that the machine does not have (LRU, slab, page tables, ...) from recorded files into a machine.</summary>
internal static class RecordedCounters
{
    /// <summary>Sets every counter that a zoneinfo tells, the free-page counters and the watermarks and reserves of zones without memory.</summary>
    public static void FeedZoneInfo(Machine machine, string zoneInfo)
    {
        Zone zone = machine.Zones[0];
        foreach (string line in zoneInfo.Split('\n'))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (line.StartsWith("Node ", StringComparison.Ordinal))
            {
                zone = machine.GetNode(int.Parse(words[1].TrimEnd(','), CultureInfo.InvariantCulture)).Zones.Single(z => z.Name == words[3]);
            }
            else if (line.StartsWith("      ", StringComparison.Ordinal) && line[6] != ' ')
            {
                Set(machine, zone, words[0], long.Parse(words[1], CultureInfo.InvariantCulture));
            }
            else if (words is ["node_unreclaimable:", "1"])
            {
                zone.Node.Counters.KswapdFailures = 16;
            }
        }
    }

    /// <summary>Sets what the machine of a recorded free list cannot know from that list: reserves, thresholds, counters.</summary>
    public static void FeedDerivedFigures(Machine machine, ZoneInfoFile file)
    {
        foreach (ZoneInfoZone from in file.Zones)
        {
            Zone zone = machine.GetNode(from.Node).GetZone(from.Type);
            from.Protection!.CopyTo(zone.Reserve, 0);
            if (from.Present == 0)
            {
                (zone.MarkMin, zone.MarkLow, zone.MarkHigh) = (from.Min!.Value, from.Low!.Value, from.High!.Value);
            }

            foreach (ZoneInfoPageset pageset in from.Pagesets)
            {
                zone.Pcp[pageset.Cpu].SetStatThreshold((int)pageset.StatThreshold!.Value);
            }
        }
    }

    /// <summary>Sets what moves while a machine runs and is no function of its layout: per-CPU counts, boosts, 6.12's limits of the per-CPU lists; and the contiguous areas.</summary>
    public static void FeedMovingFigures(Machine machine, ZoneInfoFile file)
    {
        foreach (ZoneInfoZone from in file.Zones)
        {
            Zone zone = machine.GetNode(from.Node).GetZone(from.Type);
            zone.Boost = from.Boost!.Value;
            zone.CmaPages = from.Cma;
            foreach (ZoneInfoPageset pageset in from.Pagesets)
            {
                zone.Pcp[pageset.Cpu].Count = (int)pageset.Count!.Value;
                if (machine.Personality.Reserves.TunesPcpHigh)
                {
                    zone.Pcp[pageset.Cpu].High = (int)pageset.High!.Value;
                }
            }
        }
    }

    /// <summary>Sets the figures of meminfo that no zone or node has.</summary>
    public static void FeedMemInfo(Machine machine, string memInfo)
    {
        Dictionary<string, long> values = Lines(memInfo, ':');
        SystemFigures figures = machine.SystemFigures;
        figures.BufferPages = values["Buffers"] / 4;
        figures.SwapTotalPages = values["SwapTotal"] / 4;
        figures.SwapFreePages = values["SwapFree"] / 4;
        figures.ZswapKiB = values["Zswap"];
        figures.ZswappedKiB = values["Zswapped"];
        figures.CommittedPages = values["Committed_AS"] / 4;
        figures.VmallocUsedPages = values["VmallocUsed"] / 4;
        figures.PerCpuPages = values["Percpu"] / 4;
        figures.HugePagesTotal = values["HugePages_Total"];
        figures.HugePagesFree = values["HugePages_Free"];
        figures.HugetlbPages = values["HugePages_Total"] * (values["Hugepagesize"] / 4);
        figures.DirectMap4KiB = values.GetValueOrDefault("DirectMap4k");
        figures.DirectMapLargeKiB = values.GetValueOrDefault("DirectMap2M") + values.GetValueOrDefault("DirectMap4M");
        figures.DirectMap1GiB = values.GetValueOrDefault("DirectMap1G");
        figures.HasGigabytePages = values.ContainsKey("DirectMap1G");
    }

    /// <summary>Sets the events of a vmstat.</summary>
    public static void FeedVmStat(Machine machine, string vmStat)
    {
        Dictionary<string, long> values = Lines(vmStat, ' ');
        Dictionary<string, long> own = Lines(machine.Proc.VmStat, ' ');
        for (VmEvent e = 0; (int)e < VmEvents.Table.Length; e++)
        {
            if (values.TryGetValue(VmEvents.Table[(int)e].Name, out long value) && own.TryGetValue(VmEvents.Table[(int)e].Name, out long present))
            {
                machine.Events.Restore(e, value - present);
            }
        }
    }

    public static Dictionary<string, long> Lines(string text, char separator) =>
        text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Split(separator, 2)).ToDictionary(p => p[0], p => long.Parse(p[1].Replace("kB", "").Trim(), CultureInfo.InvariantCulture));

    private static void Set(Machine machine, Zone zone, string name, long value)
    {
        if (name == "nr_free_pages")
        {
            zone.FreePagesFolded = value;
            Array.ForEach(zone.Pcp, p => p.FreePagesDiff = 0);
        }
        else if (name is "pgrotate_anon" or "pgrotate_file")
        {
            // They follow from pgscan and pgsteal.
            return;
        }
        else if (name == "nr_free_pages_blocks")
        {
            zone.FreeBlocksFolded = value;
            Array.ForEach(zone.Pcp, p => p.FreeBlocksDiff = 0);
        }
        else if (name == "nr_free_cma")
        {
            zone.FreeCmaPagesCount = value;
        }
        else if (Array.Find(CounterTable.Node, r => r.Name == name) is { } nodeRow)
        {
            NodeCounters counters = zone.Node.Counters;
            PropertyOf(typeof(NodeCounters), p => Probe(p, counters, () => nodeRow.Read(counters)))
                .SetValue(counters, value * (nodeRow.InHugePages ? KernelBuild.HugePagePages(machine) : 1));
        }
        else if (Array.Find(CounterTable.Zone, r => r.Name == name) is { } zoneRow)
        {
            if (name.StartsWith("numa_", StringComparison.Ordinal))
            {
                SetNumaCounter(machine, zone, name, value);
            }
            else if (value != 0)
            {
                PropertyOf(typeof(ZoneCounters), p => Probe(p, zone.Counters, () => zoneRow.Read(zone))).SetValue(zone.Counters, value);
            }
        }
        else
        {
            throw new InvalidOperationException($"zoneinfo prints no {name} here");
        }
    }

    /// <summary>Hits and misses are counted by CPU and place; local and other follow from whose CPU counted them.</summary>
    private static void SetNumaCounter(Machine machine, Zone zone, string name, long value)
    {
        if (name == "numa_local")
        {
            PerCpuPages? local = zone.Pcp.FirstOrDefault(p => machine.Cpus[p.Cpu].Node == zone.Node);
            PerCpuPages? remote = zone.Pcp.FirstOrDefault(p => machine.Cpus[p.Cpu].Node != zone.Node);
            long hit = zone.Pcp.Sum(p => p.NumaHit);
            long miss = zone.Pcp.Sum(p => p.NumaMiss);
            Array.ForEach(zone.Pcp, p => (p.NumaHit, p.NumaMiss) = (0, 0));
            if (local is not null)
            {
                local.NumaHit = Math.Min(hit, value);
                local.NumaMiss = value - local.NumaHit;
                hit -= local.NumaHit;
                miss -= local.NumaMiss;
            }

            if (remote is not null)
            {
                (remote.NumaHit, remote.NumaMiss) = (hit, miss);
            }
        }
        else if (name != "numa_other")
        {
            string field = "Numa" + char.ToUpperInvariant(name[5]) + name[6..];
            Array.ForEach(zone.Pcp, p => p.GetType().GetField(field)!.SetValue(p, 0L));
            zone.Pcp[0].GetType().GetField(field)!.SetValue(zone.Pcp[0], value);
        }
    }

    private static PropertyInfo PropertyOf(Type type, Func<PropertyInfo, bool> isIt) => type.GetProperties().Single(p => p.CanWrite && p.PropertyType == typeof(long) && isIt(p));

    /// <summary>Whether a property is what a row reads: changing it changes the row.</summary>
    private static bool Probe(PropertyInfo property, object counters, Func<long> read)
    {
        object? before = property.GetValue(counters);
        long old = read();
        property.SetValue(counters, (long)before! + 7);
        bool changed = read() != old;
        property.SetValue(counters, before);
        return changed;
    }
}
