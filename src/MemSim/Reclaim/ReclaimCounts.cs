using System.Diagnostics;
using MemSim.Lru;
using MemSim.Statistics;

namespace MemSim.Reclaim;

/// <summary>Counts what reclaim looks at and frees, for the machine, the node and the cgroup whose pages they are.</summary>
/// <remarks>Who reclaims is counted for the whole machine only where that is short of memory, until 7.1 counted by node; what kind of page it is always.</remarks>
internal sealed class ReclaimCounts(Machine machine)
{
    /// <summary>Pages were taken off a list to be looked at.</summary>
    public void CountScanned(LruVec vec, ScanControl sc, long pages, bool file)
    {
        Debug.Assert(pages >= 0, "pages were looked at");
        VmEvents events = machine.Events;
        if (sc.IsGlobal)
        {
            events.Count(sc.IsKswapd ? VmEvent.ScanKswapd : VmEvent.ScanDirect, pages);
        }

        events.Count(file ? VmEvent.ScanFile : VmEvent.ScanAnon, pages);
        vec.Counters.Add(LruVecCount.ScanKswapd + (ReclaimerOf(sc) - Reclaimer.Kswapd), pages);
        NodeCounters counters = vec.Node.Counters;
        counters.CountScanned(pages, sc.IsKswapd, file);
        if (sc.IsProactive)
        {
            counters.ScanDirect -= pages;
            counters.ScanProactive += pages;
        }
    }

    /// <summary>Pages were freed.</summary>
    public void CountStolen(LruVec vec, ScanControl sc, long pages, bool file)
    {
        Debug.Assert(pages >= 0, "pages were freed");
        VmEvents events = machine.Events;
        if (sc.IsGlobal)
        {
            events.Count(sc.IsKswapd ? VmEvent.StealKswapd : VmEvent.StealDirect, pages);
        }

        events.Count(file ? VmEvent.StealFile : VmEvent.StealAnon, pages);
        vec.Counters.Add(LruVecCount.StealKswapd + (ReclaimerOf(sc) - Reclaimer.Kswapd), pages);
        NodeCounters counters = vec.Node.Counters;
        counters.CountStolen(pages, sc.IsKswapd, file);
        if (sc.IsProactive)
        {
            counters.StealDirect -= pages;
            counters.StealProactive += pages;
        }
    }

    /// <summary>Pages were looked at only to see how old they are.</summary>
    public void CountRefilled(LruVec vec, ScanControl sc, long pages)
    {
        if (sc.IsGlobal)
        {
            machine.Events.Count(VmEvent.Refill, pages);
        }

        vec.Counters.Add(LruVecCount.Refill, pages);
        vec.Node.Counters.Refill += pages;
    }

    private static Reclaimer ReclaimerOf(ScanControl sc) => sc.IsKswapd ? Reclaimer.Kswapd : sc.IsProactive ? Reclaimer.Proactive : Reclaimer.Direct;

    /// <summary>In the order of <see cref="LruVecCount"/>.</summary>
    private enum Reclaimer
    {
        Kswapd,
        Direct,
        Khugepaged,
        Proactive,
    }
}
