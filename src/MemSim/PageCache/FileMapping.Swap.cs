using MemSim.Pages;

namespace MemSim.PageCache;

/// <content>Swap entries in the place of pages of shared memory.</content>
internal abstract partial class FileMapping
{
    /// <summary>Puts a swap entry into the place of a page (<c>shmem_delete_from_page_cache()</c>): locked, mapped nowhere. The cache's reference goes over to the caller.</summary>
    public void ReplaceBySwapEntry(Cpu cpu, int pfn, long entry)
    {
        ref PageFrame frame = ref _frames[pfn];
        uint index = frame.Index;
        _ = _tree.Store(cpu, index, PageTree.ValueEntry(entry));
        frame.Mapping = 0;
        NodeCounters counters = CountersOf(pfn);
        counters.FilePages--;
        counters.Shmem--;
    }

    /// <summary>Puts a page, locked, into the place of a swap entry (<c>shmem_add_to_page_cache()</c>); the cache takes a reference of its own. The entry is the caller's to free.</summary>
    /// <returns>False: the entry is not there any more.</returns>
    public bool AddForSwapEntry(Cpu cpu, int pfn, uint index, long entry)
    {
        if (_tree.Get(index) != PageTree.ValueEntry(entry))
        {
            return false;
        }

        ref PageFrame frame = ref _frames[pfn];
        frame.Mapping = MappingValue;
        frame.Index = index;
        Set(pfn, PageFlags.SwapBacked);
        _machine.Frames.AddReferences(pfn, 1);
        _ = _tree.Store(cpu, index, PageTree.PageEntry(pfn));
        NodeCounters counters = CountersOf(pfn);
        counters.FilePages++;
        counters.Shmem++;
        return true;
    }

    /// <summary>Whether what the tree has instead of a page is in memory all the same.</summary>
    protected virtual bool IsValueInCore(uint index) => false;

    /// <summary>The value at an index: a shadow or swap entry; -1 when there is none.</summary>
    public long ValueAt(uint index)
    {
        long entry = _tree.Get(index);
        return PageTree.IsValue(entry) ? PageTree.ValueOf(entry) : -1;
    }

    /// <summary>The next value at or after an index, as swapoff looks for its entries.</summary>
    public bool FindNextValue(ref uint index, out long value)
    {
        value = -1;
        while (_tree.Next(ref index, uint.MaxValue, PageTag.Any, out long entry))
        {
            if (PageTree.IsValue(entry))
            {
                value = PageTree.ValueOf(entry);
                return true;
            }

            if (index == uint.MaxValue)
            {
                break;
            }

            index++;
        }

        return false;
    }
}
