namespace MemSim.Cgroups;

/// <summary>What <c>memory.events</c> and <c>memory.swap.events</c> count.</summary>
internal enum CgroupEvent
{
    Low,
    High,
    Max,
    Oom,
    OomKill,
    OomGroupKill,
    SwapHigh,
    SwapMax,
    SwapFail,

    /// <summary>How many there are.</summary>
    Count,
}

/// <summary>What <c>memory.stat</c> counts of events, in its own words.</summary>
internal enum CgroupStat
{
    Fault,
    MajorFault,
    SwapIn,
    SwapOut,
    ThpFaultAlloc,
    ThpCollapseAlloc,
    ThpSwapOut,
    ThpSwapOutFallback,
    SwapInZero,
    SwapOutZero,
    ZswapIn,
    ZswapOut,
    ZswapWriteback,

    /// <summary>How many there are.</summary>
    Count,
}
