using MemSim.Lru;
using MemSim.PageCache;

namespace MemSim.Filesystems;

/// <summary>What shared memory asks of swap space. Swap entries are numbers of 0 or more, kept in the mapping's tree.</summary>
internal interface IShmemSwap
{
    /// <summary>Moves a page, isolated, locked, mapped nowhere, from its mapping to the swap cache and starts writing it (<c>shmem_writepage()</c>): <see cref="FileMapping.ReplaceBySwapEntry"/>.</summary>
    PageOutOutcome SwapOut(Cpu cpu, ShmemMapping mapping, int pfn);

    /// <summary>Brings a page back: <see cref="FileMapping.AddForSwapEntry"/>. Up to date, unlocked, with a reference for the caller.</summary>
    Errno SwapIn(Cpu cpu, ShmemMapping mapping, uint index, long entry, out int pfn);

    /// <summary>Whether the page of an entry is in the swap cache.</summary>
    bool IsInCache(long entry);

    /// <summary>Nobody needs an entry any more.</summary>
    void Free(Cpu cpu, long entry);
}
