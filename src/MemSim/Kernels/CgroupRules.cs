namespace MemSim.Kernels;

/// <summary>Memory cgroups.</summary>
public sealed record CgroupRules
{
    /// <summary>Cgroups for which a CPU has pages charged ahead at once (7 in 6.18).</summary>
    public int StocksPerCpu { get; init; } = 1;

    /// <summary>Whether a batch that does not fit counts as a failed charge before the single page is tried (not in 6.18).</summary>
    public bool CountsRefusedBatches { get; init; } = true;

    /// <summary>Whether page tables are counted in <c>memory.stat</c> beside being charged (6.18 shows 0, 6.12 and 7.0 do not).</summary>
    public bool CountsPageTables { get; init; } = true;

    /// <summary>Whether writing <c>memory.reclaim</c> asks for a quarter of what is missing at a time (6.12); else for all of it, and gets more.</summary>
    public bool ReclaimsInQuarters { get; init; }

    /// <summary>Whether direct reclaim walks the whole tree of cgroups every time; else it goes on where the last one stopped and stops when it has enough (6.12).</summary>
    public bool WalksWholeTree { get; init; } = true;

    /// <summary>Whether <c>memory.reclaim</c> takes <c>swappiness=</c> (6.12).</summary>
    public bool ReclaimTakesSwappiness { get; init; }

    /// <summary>Whether it takes <c>swappiness=max</c>: anonymous memory alone (6.18).</summary>
    public bool ReclaimTakesOnlyAnon { get; init; }
}
