namespace MemSim;

/// <summary>The fields of <c>mm_shrink_slab_start</c>.</summary>
/// <param name="Shrinker">The shrinker.</param>
/// <param name="Node">The node.</param>
/// <param name="Deferred">Objects that earlier calls left to scan.</param>
/// <param name="Gfp">What the caller may do.</param>
/// <param name="Freeable">Objects that could be freed.</param>
/// <param name="Delta">Objects that this call adds.</param>
/// <param name="TotalScan">Objects to be scanned.</param>
/// <param name="Priority">The priority.</param>
public readonly record struct ShrinkSlabStartEvent(Shrinker Shrinker, int Node, long Deferred, Gfp Gfp, long Freeable, long Delta, long TotalScan, int Priority);

/// <summary>The fields of <c>mm_shrink_slab_end</c>.</summary>
/// <param name="Shrinker">The shrinker.</param>
/// <param name="Node">The node.</param>
/// <param name="Freed">Objects freed.</param>
/// <param name="UnusedScan">Objects that were left to scan before.</param>
/// <param name="NewScan">Objects left to scan now.</param>
/// <param name="TotalScan">Objects of this call that were not scanned.</param>
public readonly record struct ShrinkSlabEndEvent(Shrinker Shrinker, int Node, long Freed, long UnusedScan, long NewScan, long TotalScan);
