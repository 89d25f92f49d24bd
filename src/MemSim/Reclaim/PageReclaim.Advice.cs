namespace MemSim.Reclaim;

/// <content>Pages whose owner says that he will not need them soon.</content>
internal sealed partial class PageReclaim
{
    /// <summary>Reclaims isolated pages, at most <see cref="ScanControl.ClusterPages"/> of one node; what cannot be reclaimed goes back to its list (<c>reclaim_pages()</c>).</summary>
    /// <returns>Pages freed.</returns>
    public long ReclaimIsolated(Cpu cpu, ReadOnlySpan<int> pages)
    {
        NodeReclaimState state = StateOf(_machine.Zones[_machine.Frames[pages[0]].ZoneId].Node);
        ScanControl sc = Rent();
        try
        {
            using (cpu.MemAlloc())
            {
                sc.Start(Gfp.Kernel, 0, state.Node.Zones.Count - 1, pages.Length, isKswapd: false);
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
}
