using MemSim.Pages;

namespace MemSim.Lru;

/// <summary>Workingset detection by generations: a shadow tells the generation and the accesses of a page that went.</summary>
internal static class GenerationShadows
{
    private const int AccessBits = 2;

    /// <summary>What a page leaves behind: its generation and accesses, counted as evicted (<c>lru_gen_eviction()</c>).</summary>
    public static long Evict(LruGenerations generations, in PageFrame frame, int pfn)
    {
        int kind = LruGenerations.KindOf(frame);
        int accesses = generations.Accesses.CountOf(frame, pfn);
        generations.Control.Of(kind).CountEvicted(generations.Accesses.TierOf(accesses, frame.IsWorkingset), 1L << frame.Order);
        return (generations.MinSequence(kind) << AccessBits) | (uint)Math.Max(accesses - 1, 0);
    }

    /// <summary>Whether a page that comes back went so lately that no more than four generations came since.</summary>
    public static bool IsRecent(LruGenerations generations, long token, long mask) => Math.Abs((generations.MaxSequence & (mask >> AccessBits)) - (token >> AccessBits)) < LruGenerations.MaxGenerations;

    /// <summary>Whether it went from the generation that is still the oldest of its kind.</summary>
    public static bool IsOfOldest(LruGenerations generations, in PageFrame frame, long token, long mask) =>
        (generations.MinSequence(LruGenerations.KindOf(frame)) & (mask >> AccessBits)) == token >> AccessBits;

    /// <summary>A page comes back that went lately: it counts for its tier and has its accesses again (<c>lru_gen_refault()</c>).</summary>
    /// <param name="generations">Those of its lists.</param>
    /// <param name="ages">Where its accesses are kept.</param>
    /// <param name="frame">The page, on no list yet: nobody else changes it.</param>
    /// <param name="pfn">Its number.</param>
    /// <param name="token">What <see cref="Evict"/> said.</param>
    /// <param name="workingset">Whether it was part of the working set.</param>
    /// <param name="inFault">Whether somebody needs it for a page fault.</param>
    /// <param name="activated">Whether that counts as an activation.</param>
    /// <returns>Whether it belongs to the working set again.</returns>
    public static bool Refault(LruGenerations generations, PageAges ages, in PageFrame frame, int pfn, long token, bool workingset, bool inFault, out bool activated)
    {
        int kind = LruGenerations.KindOf(frame);
        int kept = (int)token & ((1 << AccessBits) - 1);
        if (!generations.Accesses.HasWorkingSetTier)
        {
            int accesses = kept + (workingset ? 1 : 0);
            generations.Control.Of(kind).CountRefaulted(generations.Accesses.TierOf(accesses, workingset), 1L << frame.Order);
            activated = !generations.OnlyOldestRefaults;
            bool missed = inFault || accesses >= PageAges.MaxAccesses;
            if (missed)
            {
                // Full marks, so that the next eviction protects it.
                ages.SetAccesses(pfn, PageAges.MaxAccesses);
            }

            return missed;
        }

        generations.Control.Of(kind).CountRefaulted(generations.Accesses.TierOf(kept + 1, workingset), 1L << frame.Order);
        activated = inFault;
        if (!workingset)
        {
            ages.SetAccesses(pfn, kept);
        }

        return workingset;
    }
}
