using MemSim.Pages;

namespace MemSim.PageCache;

/// <content>Self-check.</content>
internal abstract partial class FileMapping
{
    /// <summary>Checks that tree and frames agree: mapping, index, references, tags and flags, counts.</summary>
    /// <exception cref="KernelBugException">Something is inconsistent.</exception>
    public void Verify(long[] filePages, long[] shmem, long[] dirty, long[] writeback)
    {
        try
        {
            _tree.Verify();
        }
        catch (InvalidOperationException e)
        {
            Fail(-1, e.Message);
        }

        bool anyDirty = false;
        long pages = 0;
        for (uint index = 0; FindNext(ref index, uint.MaxValue, PageTag.Any, out int pfn); index++)
        {
            ref PageFrame frame = ref _frames[pfn];
            long size = 1L << frame.Order;
            pages += size;
            int node = IndexOfNode(frame.ZoneId);
            filePages[node] += size;
            shmem[node] += IsShmem ? size : 0;
            bool isDirty = Has(pfn, PageFlags.Dirty);
            bool isWriteback = Has(pfn, PageFlags.Writeback);
            dirty[node] += isDirty && WritesBack ? 1 : 0;
            writeback[node] += isWriteback ? 1 : 0;
            anyDirty |= isDirty;
            Require(frame.Order == 0 || ((frame.Index & (size - 1)) == 0 && frame.IsCompoundHead && !isDirty && !isWriteback), pfn, "is large, and at an odd place, no compound page, or dirty");
            for (uint i = 1; i < size; i++)
            {
                Require(Find(index + i) == pfn, pfn, $"is large, but not what index {index + i} of {Host} leads to");
            }

            Require(frame.Mapping == MappingValue && frame.Index == index, pfn, $"is at index {index} of {Host}, but says mapping 0x{frame.Mapping:x} index {frame.Index}");
            Require(frame.RefCount >= 1 + frame.MapCount, pfn, $"has {frame.RefCount} references, but the cache and {frame.MapCount} mappings hold it");
            Require(!Has(pfn, PageFlags.Locked), pfn, "is locked although nothing happens to it");
            Require(Has(pfn, PageFlags.SwapBacked) == IsShmem, pfn, "is of the wrong kind (PG_swapbacked)");
            if (WritesBack)
            {
                Require(isDirty == _tree.HasTag(index, PageTag.Dirty), pfn, $"has PG_dirty {isDirty}, its tag differs");
                Require(isWriteback == _tree.HasTag(index, PageTag.Writeback), pfn, $"has PG_writeback {isWriteback}, its tag differs");
                Require(!isDirty || Has(pfn, PageFlags.UpToDate), pfn, "is dirty but not up to date");
            }

            index += (uint)(size - 1);
            if (index == uint.MaxValue)
            {
                break;
            }
        }

        Require(pages == PageCount, -1, $"{Host} counts {PageCount} pages, its tree has {pages}");
        Require(!anyDirty || !WritesBack || IsListedDirty, -1, $"{Host} has dirty pages, but its device does not know");
    }

    private int IndexOfNode(int zone)
    {
        for (int i = 0; i < _machine.Nodes.Count; i++)
        {
            if (_machine.Nodes[i] == _cache.Zones[zone].Node)
            {
                return i;
            }
        }

        return 0;
    }

    private void Require(bool holds, int pfn, string what)
    {
        if (!holds)
        {
            Fail(pfn, what);
        }
    }

    private void Fail(int pfn, string what)
    {
        Page page = pfn >= 0 ? new Page(_machine, pfn) : default;
        string message = pfn >= 0 ? $"page cache: {page} {what}" : $"page cache: {Host}: {what}";
        throw new KernelBugException(KernelBugKind.Corruption, message, message, page);
    }
}
