using System.Diagnostics;
using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.Reclaim;

/// <content>Pages whose owner says that he will not need them soon.</content>
internal sealed partial class PageReclaim
{
    /// <summary>Reclaims isolated pages, at most <see cref="ScanControl.ClusterPages"/> of one node; what cannot be reclaimed goes back to its list (<c>reclaim_pages()</c>).</summary>
    /// <returns>Pages freed.</returns>
    public long ReclaimIsolated(Cpu cpu, ReadOnlySpan<int> pages)
    {
        Debug.Assert(pages.Length is > 0 and <= ScanControl.ClusterPages, "a batch");
        NodeReclaimState state = StateOf(_zones[_machine.Frames.Array[pages[0]].ZoneId].Node);
        ScanControl sc = Rent();
        try
        {
            using (cpu.Context.MemAlloc())
            {
                sc.Start(Gfp.Kernel, 0, state.Node.Zones.Count - 1, pages.Length, isKswapd: false);
                sc.MayDemote = false;
                ScanFindings found = default;
                int kept = 0;
                int freed = 0;
                long reclaimed = ShrinkPages(cpu, state, sc, pages, ref found, ref kept, ref freed);
                _lru.FreeUnreferenced(cpu, sc.Others.AsSpan(0, freed));
                _lru.PutBackAll(cpu, state.Lists, sc.Kept.AsSpan(0, kept), out int unused);
                _lru.FreeUnreferenced(cpu, sc.Kept.AsSpan(0, unused));
                return reclaimed;
            }
        }
        finally
        {
            Return(sc);
        }
    }

    /// <summary>Frees the clean file pages among isolated ones, used lately or not: to drop them is cheaper than to move them (<c>reclaim_clean_pages_from_list()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="node">The node of all pages.</param>
    /// <param name="pages">Isolated pages; those that were freed are taken out.</param>
    /// <returns>Pages freed.</returns>
    public long ReclaimClean(Cpu cpu, Node node, List<int> pages)
    {
        NodeReclaimState state = StateOf(node);
        ScanControl sc = Rent();
        long reclaimed = 0;
        try
        {
            using (cpu.Context.MemAlloc())
            {
                sc.Start(Gfp.Kernel, 0, node.Zones.Count - 1, 0, isKswapd: false);
                sc.MayWrite = sc.MaySwap = sc.MayDemote = false;
                sc.IgnoresUse = true;
                for (int left = pages.Count; left > 0;)
                {
                    // From the end on, a batch at a time: what stays is put back at the end, where nobody looks again.
                    int batch = 0;
                    while (left > 0 && batch < ScanControl.ClusterPages)
                    {
                        int pfn = pages[--left];
                        if (IsCleanCache(pfn))
                        {
                            _lru.ClearFlags(ref _machine.Frames.Array[pfn], PageFlags.Active);
                            sc.Pages[batch++] = pfn;
                            pages.RemoveAt(left);
                        }
                    }

                    reclaimed += ReclaimClean(cpu, state, sc, batch, pages);
                }
            }
        }
        finally
        {
            Return(sc);
        }

        return reclaimed;
    }

    private long ReclaimClean(Cpu cpu, NodeReclaimState state, ScanControl sc, int batch, List<int> pages)
    {
        ScanFindings found = default;
        int kept = 0;
        int freed = 0;
        long reclaimed = ShrinkPages(cpu, state, sc, sc.Pages.AsSpan(0, batch), ref found, ref kept, ref freed);
        _lru.FreeUnreferenced(cpu, sc.Others.AsSpan(0, freed));
        Debug.Assert(reclaimed == freed && kept + freed == batch, "single pages: each is counted once");
        LruManager.EndIsolation(state.Lists, file: true, reclaimed);
        foreach (int pfn in sc.Kept.AsSpan(0, kept))
        {
            if (_machine.Frames.Array[pfn].IsSwapBacked)
            {
                // Memory given up with MADV_FREE was isolated as cache, and is wanted after all.
                LruManager.EndIsolation(state.Lists, file: true, 1L << _machine.Frames.Array[pfn].Order);
                LruManager.EndIsolation(state.Lists, file: false, -(1L << _machine.Frames.Array[pfn].Order));
            }

            pages.Add(pfn);
        }

        return reclaimed;
    }

    private bool IsCleanCache(int pfn)
    {
        const PageFlags others = PageFlags.SwapBacked | PageFlags.Dirty | PageFlags.Unevictable;
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        return !frame.Has(others) && !frame.IsDriverMovable && frame.Order == 0;
    }
}
