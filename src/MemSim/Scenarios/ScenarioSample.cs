namespace MemSim.Scenarios;

/// <summary>The machine at a moment of a scenario. Memory in pages, of the whole machine; events counted since the scenario began.</summary>
public sealed record ScenarioSample
{
    /// <summary>The name of the phase.</summary>
    public string Phase { get; init; } = "";

    /// <summary>Touches made so far, chunks of files and blocks included.</summary>
    public long Touches { get; init; }

    /// <summary>Simulated cycles, all CPUs together.</summary>
    public long Cycles { get; init; }

    /// <summary>Processes of the scenario that live.</summary>
    public int Processes { get; init; }

    /// <summary>Free pages, per-CPU lists included.</summary>
    public long FreePages { get; init; }

    /// <summary>Anonymous pages that are mapped.</summary>
    public long AnonPages { get; init; }

    /// <summary>Pages of the page cache, shared memory included.</summary>
    public long FilePages { get; init; }

    /// <summary>Pages of the page cache that must be written.</summary>
    public long DirtyPages { get; init; }

    /// <summary>Pages of slab caches.</summary>
    public long SlabPages { get; init; }

    /// <summary>Pages of page tables.</summary>
    public long PageTablePages { get; init; }

    /// <summary>Pages of swap in use.</summary>
    public long SwapUsedPages { get; init; }

    /// <summary>The part of free memory that an order-9 request cannot use, in thousandths (the kernel's <c>unusable_index</c>).</summary>
    public int UnusableForOrder9 { get; init; }

    /// <summary>Page faults (<c>pgfault</c>).</summary>
    public long Faults { get; init; }

    /// <summary>Page faults that had to read (<c>pgmajfault</c>).</summary>
    public long MajorFaults { get; init; }

    /// <summary>Translations not found in the first-level TLB.</summary>
    public long TlbMisses { get; init; }

    /// <summary>Page-table walks.</summary>
    public long TlbWalks { get; init; }

    /// <summary>Pages that reclaim looked at (<c>pgscan_kswapd</c> and <c>pgscan_direct</c>).</summary>
    public long PagesScanned { get; init; }

    /// <summary>Pages that reclaim took (<c>pgsteal_kswapd</c> and <c>pgsteal_direct</c>).</summary>
    public long PagesReclaimed { get; init; }

    /// <summary>Of those, taken by kswapd.</summary>
    public long PagesReclaimedByKswapd { get; init; }

    /// <summary>Requests that had to reclaim themselves (<c>allocstall_*</c>).</summary>
    public long DirectReclaims { get; init; }

    /// <summary>Pages read from swap (<c>pswpin</c>).</summary>
    public long SwappedIn { get; init; }

    /// <summary>Pages written to swap (<c>pswpout</c>).</summary>
    public long SwappedOut { get; init; }

    /// <summary>Requests that had to compact (<c>compact_stall</c>).</summary>
    public long CompactionStalls { get; init; }

    /// <summary>Processes that the OOM killer ended (<c>oom_kill</c>).</summary>
    public long OomKills { get; init; }

    /// <summary>Pages that zswap keeps (<c>Zswapped</c>).</summary>
    public long ZswapStoredPages { get; init; }

    /// <summary>Pages of memory that zswap takes for them (<c>Zswap</c>).</summary>
    public long ZswapPoolPages { get; init; }

    /// <summary>The scenario's cgroups, as they were described; none without.</summary>
    public IReadOnlyList<ScenarioCgroupSample> Cgroups { get; init; } = [];
}

/// <summary>A cgroup at a moment of a scenario.</summary>
public sealed record ScenarioCgroupSample
{
    /// <summary>Its path.</summary>
    public string Path { get; init; } = "";

    /// <summary>Pages charged to it and those below (<c>memory.current</c>).</summary>
    public long Pages { get; init; }

    /// <summary>Pages of it in swap (<c>memory.swap.current</c>).</summary>
    public long SwapPages { get; init; }
}

/// <summary>What became of a cgroup of a scenario.</summary>
public sealed record ScenarioCgroup
{
    /// <summary>Its path.</summary>
    public string Path { get; init; } = "";

    /// <summary>The most pages charged at once (<c>memory.peak</c>).</summary>
    public long PeakPages { get; init; }

    /// <summary>What happened at its limits (<c>memory.events</c>), on one line.</summary>
    public string Events { get; init; } = "";
}
