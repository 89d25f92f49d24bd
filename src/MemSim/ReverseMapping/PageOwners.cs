using MemSim.Ksm;
using MemSim.Lru;
using MemSim.PageCache;
using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim.ReverseMapping;

/// <summary>What reclaim and migration ask about pages, passed on to whoever knows: reverse mapping, page cache, swap.</summary>
internal sealed class PageOwners : IPageOwners
{
    private readonly AddressSpaces _spaces;
    private readonly PageTableAging _aging;
    private readonly Rmap _rmap;

    public PageOwners(AddressSpaces spaces)
    {
        _spaces = spaces;
        _aging = new PageTableAging(spaces);
        _rmap = new Rmap(spaces, _aging);
    }

    public PageReferences Referenced(Cpu cpu, int pfn) => _rmap.Referenced(cpu, pfn);

    public void ClearIdleReferences(Cpu cpu, int pfn) => _rmap.ClearIdleReferences(cpu, pfn);

    public void WalkForAging(Cpu cpu, LruVec vec, AgingWalk walk) => _aging.Walk(cpu, vec, walk);

    public bool TryToUnmap(Cpu cpu, int pfn) => _rmap.Unmap(cpu, pfn);

    public bool UnmapForMigration(Cpu cpu, int pfn) => _rmap.UnmapForMigration(cpu, pfn);

    public void RestoreMappings(Cpu cpu, int from, int to) => _rmap.RestoreMappings(cpu, from, to);

    public void HugePageFreed(int pfn) => _spaces.Huge.Freed(pfn);

    public bool SplitHuge(Cpu cpu, int pfn, bool counts = true) => _spaces.Huge.SplitPage(cpu, pfn, counts);

    public bool IsPartlyUnmapped(int pfn) => _spaces.Huge.IsDeferred(pfn);

    public void CountSwapOut(int order, bool whole) => _spaces.Huge.CountSwapOut(order, whole);

    public bool AddToSwap(Cpu cpu, int pfn) => _spaces.Swap?.AddToSwap(cpu, pfn) ?? false;

    public PageOutOutcome PageOut(Cpu cpu, int pfn) => IsOfSwap(pfn) ? _spaces.Swap?.PageOut(cpu, pfn) ?? PageOutOutcome.Activate : PageCacheOwners.PageOut(cpu, pfn);

    public bool RemoveFromCache(Cpu cpu, int pfn) => IsOfSwap(pfn) ? _spaces.Swap?.RemoveFromCache(cpu, pfn) ?? false : PageCacheOwners.RemoveFromCache(cpu, pfn);

    public bool MoveHugePage(Cpu cpu, int from, int to) => _spaces.Huge.Move(cpu, from, to);

    public bool MoveMapping(Cpu cpu, int from, int to)
    {
        StableNode? merged = SamepageMerger.NodeOf(_spaces.Machine, from);
        bool moved = MoveAnyMapping(cpu, from, to);
        if (moved && merged is not null)
        {
            // ksm_migrate_page()
            merged.Pfn = to;
        }

        return moved;
    }

    private bool MoveAnyMapping(Cpu cpu, int from, int to)
    {
        if (!IsOfSwap(from))
        {
            return PageCacheOwners.MoveMapping(cpu, from, to);
        }

        bool cached = _spaces.Pages.IsSwapCache(from);
        if (cached)
        {
            return _spaces.Swap?.Move(cpu, from, to) ?? false;
        }

        if (_spaces.Pages.RefCount(from) != 1)
        {
            return false;
        }

        ref PageFrame old = ref _spaces.Frames[from];
        ref PageFrame fresh = ref _spaces.Frames[to];
        fresh.Mapping = old.Mapping;
        fresh.Index = old.Index;
        fresh.Set(old.StoredFlags & PageFlags.SwapBacked);
        old.Mapping = 0;
        return true;
    }

    /// <summary>Anonymous memory, and pages of the swap cache that nobody has mapped yet or that were shared memory.</summary>
    private bool IsOfSwap(int pfn) => _spaces.Pages.IsAnon(pfn) || _spaces.Pages.IsSwapCache(pfn);
}
