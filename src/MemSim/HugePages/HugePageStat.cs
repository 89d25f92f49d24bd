namespace MemSim.HugePages;

/// <summary>What is counted by size of large pages (<c>enum mthp_stat_item</c>), in the order of the files.</summary>
internal enum HugePageStat
{
    AnonFaultAlloc,
    AnonFaultFallback,
    AnonFaultFallbackCharge,
    CollapseAlloc,
    CollapseAllocFailed,
    CollapseExceedNone,
    CollapseExceedShared,
    CollapseExceedSwap,
    NrAnon,
    NrAnonPartiallyMapped,
    ShmemAlloc,
    ShmemFallback,
    ShmemFallbackCharge,
    Split,
    SplitDeferred,
    SplitFailed,
    Swpin,
    SwpinFallback,
    SwpinFallbackCharge,
    Swpout,
    SwpoutFallback,
    Zswpout,
}
