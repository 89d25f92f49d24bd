using System.Runtime.CompilerServices;
using MemSim.Lru;

namespace MemSim.VirtualMemory;

/// <content>Where pages of address spaces enter and leave the LRU lists and the page allocator.</content>
internal sealed partial class MmCore
{
    private readonly LruManager _lru;

    /// <summary>Puts a new page on its LRU list (<c>lru_cache_add_inactive_or_unevictable()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddToLru(Cpu cpu, int pfn, Vma vma)
    {
        _lru.Add(cpu, pfn);
        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            _lru.Mlock(cpu, pfn);
        }
    }

    /// <summary>Drops a reference; the last one frees the page (<c>put_page()</c>).</summary>
    public void Put(Cpu cpu, int pfn) => _lru.Put(cpu, HeadOf(pfn));

    /// <summary>Drops a reference to each page, freeing those that lose the last one as one list (<c>release_pages()</c>).</summary>
    public void PutAll(Cpu cpu, ReadOnlySpan<int> pfns) => _lru.PutAll(cpu, pfns);

    /// <summary>Empties the CPU's LRU batches, whose references would make pages look shared (<c>lru_add_drain()</c>).</summary>
    public void DrainLru(Cpu cpu) => _lru.Drain(cpu);

    /// <summary>An access was noticed in an entry that goes (<c>mark_page_accessed()</c>).</summary>
    public void MarkAccessed(Cpu cpu, int pfn) => _lru.MarkAccessed(cpu, HeadOf(pfn));

    /// <summary>Locks a page into memory, once for each locked area that maps it.</summary>
    public void Mlock(Cpu cpu, int pfn) => _lru.Mlock(cpu, pfn);

    /// <summary>A locked area lets go of a page.</summary>
    public void Munlock(Cpu cpu, int pfn) => _lru.Munlock(cpu, pfn);

    /// <summary>Moves a page to the inactive list (<c>MADV_COLD</c>).</summary>
    public void Deactivate(Cpu cpu, int pfn) => _lru.Deactivate(cpu, pfn);

    /// <summary>The page may be dropped without being written anywhere (<c>MADV_FREE</c>).</summary>
    public void LazyFree(Cpu cpu, int pfn) => _lru.LazyFree(cpu, pfn);

}
