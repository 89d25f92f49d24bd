namespace MemSim.Lru;

/// <summary>What a cgroup's share of a node counts (rows of <c>memory.stat</c>), in pages.</summary>
internal sealed class LruVecCounters
{
    private readonly long[] _counts = new long[(int)LruVecCount.Count];

    /// <summary>A count.</summary>
    public long this[LruVecCount count] => _counts[(int)count];

    /// <summary>Evicted anonymous or file pages that came back soon and became active.</summary>
    public long Activated(bool file) => this[LruVecCount.ActivateAnon + (file ? 1 : 0)];

    public void Add(LruVecCount count, long pages) => _counts[(int)count] += pages;

    /// <summary>Adds what another counted.</summary>
    public void Add(LruVecCounters other)
    {
        for (int i = 0; i < _counts.Length; i++)
        {
            _counts[i] += other._counts[i];
        }
    }
}

/// <summary>The counts of <see cref="LruVecCounters"/>; where there is one for anonymous pages, that for file pages follows it.</summary>
internal enum LruVecCount
{
    /// <summary><c>workingset_refault_anon</c>.</summary>
    RefaultAnon,
    RefaultFile,

    /// <summary><c>workingset_activate_anon</c>.</summary>
    ActivateAnon,
    ActivateFile,

    /// <summary><c>workingset_restore_anon</c>.</summary>
    RestoreAnon,
    RestoreFile,

    /// <summary><c>pgscan_kswapd</c>, <c>_direct</c>, <c>_khugepaged</c>, <c>_proactive</c>.</summary>
    ScanKswapd,
    ScanDirect,
    ScanKhugepaged,
    ScanProactive,

    /// <summary><c>pgsteal_kswapd</c> and so on, in the same order.</summary>
    StealKswapd,
    StealDirect,
    StealKhugepaged,
    StealProactive,

    /// <summary><c>pgrefill</c>.</summary>
    Refill,

    /// <summary><c>pgactivate</c>.</summary>
    Activate,

    /// <summary><c>pgdeactivate</c>.</summary>
    Deactivate,

    /// <summary><c>pglazyfree</c>.</summary>
    LazyFree,

    /// <summary><c>pglazyfreed</c>.</summary>
    LazyFreed,

    /// <summary>How many there are.</summary>
    Count,
}
