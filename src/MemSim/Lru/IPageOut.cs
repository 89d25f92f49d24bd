namespace MemSim.Lru;

/// <summary>Reclaim of pages that somebody names.</summary>
internal interface IPageOut
{
    /// <summary>Pages at a time.</summary>
    public const int ClusterPages = 32;

    /// <summary>Reclaims isolated pages, at most <see cref="ClusterPages"/> of one node; what cannot be reclaimed goes back to its list (<c>reclaim_pages()</c>).</summary>
    /// <returns>Pages freed.</returns>
    long ReclaimIsolated(Cpu cpu, ReadOnlySpan<int> pages);
}
