namespace MemSim.Recordings.Workloads;

/// <summary>Counts the tracepoints of reclaim and compaction by which recordings are compared.</summary>
internal sealed class PressureCounts : IReclaimTraceSink, ICompactionTraceSink
{
    /// <summary>How often each was hit.</summary>
    public Dictionary<string, long> Events { get; } = new(StringComparer.Ordinal)
    {
        ["mm_vmscan_wakeup_kswapd"] = 0,
        ["mm_vmscan_kswapd_wake"] = 0,
        ["mm_vmscan_kswapd_sleep"] = 0,
        ["mm_vmscan_direct_reclaim_begin"] = 0,
        ["mm_compaction_begin"] = 0,
    };

    void IReclaimTraceSink.WakeupKswapd(Cpu cpu, int node, int highestZoneIndex, int order, Gfp gfp) => Events["mm_vmscan_wakeup_kswapd"]++;

    void IReclaimTraceSink.KswapdWake(Cpu cpu, int node, int highestZoneIndex, int order) => Events["mm_vmscan_kswapd_wake"]++;

    void IReclaimTraceSink.KswapdSleep(Cpu cpu, int node) => Events["mm_vmscan_kswapd_sleep"]++;

    void IReclaimTraceSink.DirectReclaimBegin(Cpu cpu, int order, Gfp gfp) => Events["mm_vmscan_direct_reclaim_begin"]++;

    void ICompactionTraceSink.MmCompactionBegin(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync) => Events["mm_compaction_begin"]++;
}
