using MemSim.Pages;

namespace MemSim.AddressSpaces;

/// <content>Where pages of address spaces enter and leave the LRU lists and the page allocator.</content>
internal sealed partial class MmCore
{
    private readonly Page[] _batch = new Page[256];

    /// <summary>Puts a new page on its LRU list (<c>lru_cache_add_inactive_or_unevictable()</c>).</summary>
    public void AddToLru(Cpu cpu, int pfn, Vma vma)
    {
        _ = cpu;
        _ = vma;
        _ = pfn;
    }

    /// <summary>Drops a reference; the last one frees the page (<c>put_page()</c>).</summary>
    public void Put(Cpu cpu, int pfn)
    {
        if (!Machine.TryDropReference(pfn))
        {
            _frames[pfn].Mapping = 0;
            cpu.FreePages(new Page(Machine, pfn), 0);
        }
    }

    /// <summary>Drops a reference to each page, freeing those that lose the last one as one list (<c>release_pages()</c>).</summary>
    public void PutAll(Cpu cpu, ReadOnlySpan<int> pfns)
    {
        int count = 0;
        foreach (int pfn in pfns)
        {
            if (Machine.TryDropReference(pfn))
            {
                continue;
            }

            _frames[pfn].Mapping = 0;
            _batch[count++] = new Page(Machine, pfn);
            if (count == _batch.Length)
            {
                _pages.FreeList(cpu, _batch.AsSpan(0, count));
                count = 0;
            }
        }

        if (count != 0)
        {
            _pages.FreeList(cpu, _batch.AsSpan(0, count));
        }
    }

    /// <summary>Empties the CPU's LRU batches, whose references would make pages look shared (<c>lru_add_drain()</c>).</summary>
    public void DrainLru(Cpu cpu) => _ = cpu;

    /// <summary>An access was noticed in an entry that goes (<c>mark_page_accessed()</c>).</summary>
    public void MarkAccessed(Cpu cpu, int pfn)
    {
        _ = cpu;
        _frames[pfn].FlagsAndZone |= (uint)PageFlags.Referenced;
    }

    public void Mlock(Cpu cpu, int pfn)
    {
        _ = cpu;
        _ = pfn;
    }

    public void Munlock(Cpu cpu, int pfn)
    {
        _ = cpu;
        _ = pfn;
    }

    public void Deactivate(Cpu cpu, int pfn)
    {
        _ = cpu;
        _ = pfn;
    }

    public void LazyFree(Cpu cpu, int pfn)
    {
        _ = cpu;
        _ = pfn;
    }
}
