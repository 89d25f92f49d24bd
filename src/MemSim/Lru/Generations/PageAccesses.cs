using System.Numerics;
using MemSim.Kernels;
using MemSim.Pages;

namespace MemSim.Lru;

/// <summary>Accesses of pages through file descriptors, and the tiers they make: by the rule of the kernel line (<see cref="AccessTiers"/>).</summary>
internal sealed class PageAccesses(PageAges ages, ReclaimRules rules, bool parallel)
{
    /// <summary>The flags that are forgotten when a page moves on to another generation.</summary>
    public PageFlags Marks { get; } = rules.Tiers == AccessTiers.BeyondFirst ? PageFlags.Referenced | PageFlags.WorkingSet : PageFlags.Referenced;

    /// <summary>Whether the working set is a tier of its own.</summary>
    public bool HasWorkingSetTier { get; } = rules.Tiers == AccessTiers.WithWorkingSet;

    /// <summary>An access through a file descriptor (<c>folio_mark_accessed()</c>).</summary>
    public void Note(ref PageFrame frame, int pfn)
    {
        if (frame.IsUnevictable)
        {
            return;
        }

        int accesses = ages.Accesses(pfn);
        if (!frame.IsReferenced)
        {
            frame.Set(PageFlags.Referenced, parallel);
            if (HasWorkingSetTier && accesses != 0)
            {
                ages.SetAccesses(pfn, 0);
            }
        }
        else if (!HasWorkingSetTier && !frame.IsWorkingset)
        {
            frame.Set(PageFlags.WorkingSet, parallel);
        }
        else if (accesses < PageAges.MaxAccesses)
        {
            ages.SetAccesses(pfn, accesses + 1);
        }
        else if (HasWorkingSetTier)
        {
            frame.Set(PageFlags.WorkingSet, parallel);
        }
    }

    /// <summary>Forgets that a page was used (<c>MADV_COLD</c> and its like).</summary>
    public void Forget(ref PageFrame frame, int pfn)
    {
        frame.Clear(PageFlags.Referenced | PageFlags.WorkingSet, parallel);
        ages.SetAccesses(pfn, 0);
    }

    /// <summary>Accesses that count for the tier (<c>folio_lru_refs()</c>).</summary>
    public int CountOf(in PageFrame frame, int pfn) => !HasWorkingSetTier
        ? ages.Accesses(pfn) + (frame.IsWorkingset ? 1 : 0)
        : frame.IsReferenced ? ages.Accesses(pfn) + 1 : 0;

    /// <summary>The tier of a page with so many accesses (<c>lru_tier_from_refs()</c>).</summary>
    public int TierOf(int accesses, bool workingset) => !HasWorkingSetTier
        ? CeilingLog2(accesses + 1)
        : workingset ? TierCounts.Tiers - 1 : CeilingLog2(accesses);

    /// <summary>Accessed so often that it is moved on whatever its tier.</summary>
    public bool IsPromotedLazily(int accesses, bool workingset) => !HasWorkingSetTier
        ? accesses == PageAges.MaxAccesses + 1
        : accesses + (workingset ? 1 : 0) == PageAges.MaxAccesses + 2;

    private static int CeilingLog2(int n) => n <= 1 ? 0 : BitOperations.Log2((uint)(n - 1)) + 1;
}
