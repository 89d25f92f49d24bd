using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim.Scenarios;

/// <summary>Takes samples of a machine, counting events from where the scenario began.</summary>
internal sealed class ScenarioSampler
{
    private readonly Machine _machine;
    private readonly ScenarioSample _start;

    public ScenarioSampler(Machine machine)
    {
        _machine = machine;
        _start = Totals();
    }

    public ScenarioSample Take(string phase, long touches, int processes)
    {
        ScenarioSample now = Totals();
        return now with
        {
            Phase = phase,
            Touches = touches,
            Processes = processes,
            Cycles = now.Cycles - _start.Cycles,
            Faults = now.Faults - _start.Faults,
            MajorFaults = now.MajorFaults - _start.MajorFaults,
            TlbMisses = now.TlbMisses - _start.TlbMisses,
            TlbWalks = now.TlbWalks - _start.TlbWalks,
            PagesScanned = now.PagesScanned - _start.PagesScanned,
            PagesReclaimed = now.PagesReclaimed - _start.PagesReclaimed,
            PagesReclaimedByKswapd = now.PagesReclaimedByKswapd - _start.PagesReclaimedByKswapd,
            DirectReclaims = now.DirectReclaims - _start.DirectReclaims,
            SwappedIn = now.SwappedIn - _start.SwappedIn,
            SwappedOut = now.SwappedOut - _start.SwappedOut,
            CompactionStalls = now.CompactionStalls - _start.CompactionStalls,
            OomKills = now.OomKills - _start.OomKills,
        };
    }

    private ScenarioSample Totals()
    {
        VmEvents events = _machine.Events;
        long anon = 0;
        long file = 0;
        long dirty = 0;
        long slab = 0;
        long tables = 0;
        foreach (Node node in _machine.Nodes)
        {
            NodeCounters c = node.Counters;
            anon += c.AnonPages;
            file += c.FilePages;
            dirty += c.Dirty;
            slab += c.SlabReclaimable + c.SlabUnreclaimable;
            tables += c.PageTables;
        }

        long cycles = 0;
        long misses = 0;
        long walks = 0;
        foreach (Cpu cpu in _machine.Cpus)
        {
            cycles += cpu.Cycles;
            TlbStatistics tlb = cpu.Tlb.Statistics;
            misses += tlb.L1DataMisses;
            walks += tlb.Walks;
        }

        long free = 0;
        long usable = 0;
        long stalls = 0;
        foreach (Zone zone in _machine.Zones)
        {
            if (!zone.IsPopulated)
            {
                continue;
            }

            foreach (PerCpuPages pcp in zone.Pcp)
            {
                free += pcp.Count;
            }

            for (int order = 0; order <= PageGeometry.MaxOrder; order++)
            {
                long pages = (long)zone.FreeBlocks(order) << order;
                free += pages;
                usable += order >= 9 ? pages : 0;
            }
        }

        foreach (ZoneType type in Enum.GetValues<ZoneType>())
        {
            stalls += events.AllocStalls(type);
        }

        SystemFigures system = _machine.SystemFigures;
        return new ScenarioSample
        {
            Cycles = cycles,
            FreePages = free,
            AnonPages = anon,
            FilePages = file,
            DirtyPages = dirty,
            SlabPages = slab,
            PageTablePages = tables,
            SwapUsedPages = system.SwapTotalPages - system.SwapFreePages,
            ZswapStoredPages = _machine.Swap.Zswap.StoredPages,
            ZswapPoolPages = _machine.Swap.Zswap.PoolBytes >> PageGeometry.PageShift,
            UnusableForOrder9 = free == 0 ? 0 : (int)((free - usable) * 1000 / free),
            Faults = events[VmEvent.Fault],
            MajorFaults = events[VmEvent.MajorFault],
            TlbMisses = misses,
            TlbWalks = walks,
            PagesScanned = events[VmEvent.ScanKswapd] + events[VmEvent.ScanDirect],
            PagesReclaimed = events[VmEvent.StealKswapd] + events[VmEvent.StealDirect],
            PagesReclaimedByKswapd = events[VmEvent.StealKswapd],
            DirectReclaims = stalls,
            SwappedIn = events[VmEvent.SwapIn],
            SwappedOut = events[VmEvent.SwapOut],
            CompactionStalls = events[VmEvent.CompactStall],
            OomKills = events[VmEvent.OomKill],
        };
    }
}
