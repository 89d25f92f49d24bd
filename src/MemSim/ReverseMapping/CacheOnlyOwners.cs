using MemSim.Lru;
using MemSim.PageCache;
using MemSim.Swap;

namespace MemSim.ReverseMapping;

/// <summary>Who owns pages on a machine that has files but no processes: the page cache, and swap for shared memory. No page is mapped.</summary>
internal sealed class CacheOnlyOwners(Machine machine) : IPageOwners
{
    public PageReferences Referenced(Cpu cpu, int pfn) => default;

    public bool TryToUnmap(Cpu cpu, int pfn) => machine.Frames.Array[pfn].MapCount == 0;

    public bool UnmapForMigration(Cpu cpu, int pfn) => machine.Frames.Array[pfn].MapCount == 0;

    public void RestoreMappings(Cpu cpu, int from, int to)
    {
    }

    public bool AddToSwap(Cpu cpu, int pfn) => false;

    public PageOutOutcome PageOut(Cpu cpu, int pfn) => SwapOf(pfn) is { } swap ? swap.PageOut(cpu, pfn) : PageCacheOwners.PageOut(cpu, pfn);

    public bool RemoveFromCache(Cpu cpu, int pfn) => SwapOf(pfn) is { } swap ? swap.RemoveFromCache(cpu, pfn) : PageCacheOwners.RemoveFromCache(cpu, pfn);

    public bool MoveMapping(Cpu cpu, int from, int to) => SwapOf(from) is ISwapSpace swap ? swap.Move(cpu, from, to) : PageCacheOwners.MoveMapping(cpu, from, to);

    /// <summary>Swap, when a page is in its cache: shared memory on its way out or back.</summary>
    private SwapSpace? SwapOf(int pfn)
    {
        return machine.Frames.Array[pfn].InSwapCache ? machine.Swap : null;
    }
}
