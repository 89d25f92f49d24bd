using MemSim.Hardware;
using MemSim.Lru;
using MemSim.PageCache;

namespace MemSim.Swap;

/// <summary>What page faults, fork and unmapping ask of swap.</summary>
internal interface ISwapSpace
{
    /// <summary>Brings a page in from swap, or finds it in the swap cache.</summary>
    /// <param name="cpu">The CPU that faults.</param>
    /// <param name="vma">The area.</param>
    /// <param name="address">The address.</param>
    /// <param name="entry">The swap entry.</param>
    /// <param name="pfn">The page: up to date, with a reference for the caller; -1 when there is none.</param>
    /// <returns><see cref="FaultResult.Major"/> when it had to be read, or an error.</returns>
    FaultResult SwapIn(Cpu cpu, ISwapNeighbours vma, ulong address, in SoftEntry entry, out int pfn);

    /// <summary>Whether an entry names a slot that is in use.</summary>
    bool Knows(in SoftEntry entry);

    /// <summary>The page that the swap cache has for an entry; -1 when it has none.</summary>
    int CachedPage(in SoftEntry entry);

    /// <summary>One more entry names a slot (<c>swap_duplicate()</c>).</summary>
    void Duplicate(in SoftEntry entry);

    /// <summary>One entry less names a slot (<c>free_swap_and_cache()</c>); a page in the swap cache that nobody needs goes.</summary>
    void Free(Cpu cpu, in SoftEntry entry);

    /// <summary>An entry was turned into a mapping of a page: gives its slot count up, and the slot too when that makes sense (<c>swap_free()</c>, <c>should_try_to_free_swap()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="entry">The entry that was replaced.</param>
    /// <param name="pfn">The page mapped instead.</param>
    /// <param name="write">Whether the fault was a write.</param>
    /// <param name="locked">Whether the area is locked in memory.</param>
    /// <returns>Whether the page is the caller's alone and no longer in the swap cache or only there.</returns>
    bool MappedAgain(Cpu cpu, in SoftEntry entry, int pfn, bool write, bool locked);

    /// <summary>The slot of a page in the swap cache.</summary>
    SoftEntry EntryOf(int pfn);

    /// <summary>As <see cref="IPageOwners.AddToSwap"/>.</summary>
    bool AddToSwap(Cpu cpu, int pfn);

    /// <summary>As <see cref="IPageOwners.PageOut"/>, for pages of the swap cache.</summary>
    PageOutOutcome PageOut(Cpu cpu, int pfn);

    /// <summary>As <see cref="IPageOwners.RemoveFromCache"/>, for pages of the swap cache.</summary>
    bool RemoveFromCache(Cpu cpu, int pfn);

    /// <summary>Puts another page in the place of one in the swap cache, with its slot and the cache's reference.</summary>
    bool Move(Cpu cpu, int from, int to);

    /// <summary>Pages were unmapped: those of the swap cache that nobody maps any more leave it, if no entry names their slots (<c>free_swap_cache()</c>).</summary>
    void LeaveCache(Cpu cpu, ReadOnlySpan<int> pfns);

    /// <summary>Starts to bring part of an area back (<c>MADV_WILLNEED</c>).</summary>
    void Prefetch(Cpu cpu, ISwapNeighbours vma, ulong start, ulong end);

    /// <summary>Takes a page out of the swap cache if no entry names its slot (<c>folio_free_swap()</c>).</summary>
    bool TryFreeSlot(Cpu cpu, int pfn);
}
