using System.Diagnostics;
using MemSim.Hardware;
using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.PageCache;

/// <content>Large pages: read-ahead brings them, reading and reclaim take them whole; for everything else they are split into single pages first.</content>
internal abstract partial class FileMapping
{
    private const int FillBatch = 64;

    /// <summary>What the single pages take over from the large one.</summary>
    private const PageFlags Inherited = PageFlags.Referenced | PageFlags.UpToDate | PageFlags.Active | PageFlags.WorkingSet | PageFlags.Unevictable | PageFlags.Error;

    /// <summary>The largest order of page that read-ahead may bring; 0 for single pages only (<c>mapping_max_folio_order()</c>).</summary>
    public virtual int LargestOrder => 0;

    /// <summary>The order of a page that a page directory entry maps whole.</summary>
    private int HugeOrder => PteLayout.HugeOrderOf(_machine.Architecture.Architecture);

    /// <summary>Reads a large page that is in the cache, locked; afterwards it is unlocked, and up to date unless the device failed.</summary>
    public void FillLarge(Cpu cpu, int head, bool waits)
    {
        Span<int> frames = stackalloc int[FillBatch];
        uint first = _frames[head].Index;
        int pages = 1 << _frames[head].Order;
        Errno error = Errno.None;
        for (int done = 0; done < pages && error == Errno.None;)
        {
            long block = BlockOf(first + (uint)done);
            int run = 0;
            while (done + run < pages && run < FillBatch && BlockOf(first + (uint)(done + run)) == (block < 0 ? -1 : block + run))
            {
                frames[run] = head + done + run;
                run++;
            }

            error = ReadRun(cpu, block, frames[..run], waits);
            done += run;
        }

        Set(head, error == Errno.None ? PageFlags.UpToDate : PageFlags.Error);
        Unlock(head);
    }

    /// <summary>The single page at an index; a large page that covers it is split (<c>split_folio()</c>).</summary>
    /// <returns>The page; -1 when there is none, or none any more.</returns>
    public int FindSmall(Cpu cpu, uint index)
    {
        int pfn = Find(index);
        if (pfn < 0 || _frames[pfn].Order == 0)
        {
            return pfn;
        }

        if (!TrySplit(cpu, pfn))
        {
            // Somebody holds it, or there is no memory for the nodes: as it is clean, it is read again in single pages.
            if (Owns(pfn) && _frames[pfn].Order != 0)
            {
                Drop(cpu, pfn);
            }
        }

        return Find(index);
    }

    /// <summary>Pages of a range are about to be mapped: large ones among them are split.</summary>
    public void SplitRange(Cpu cpu, uint first, uint last)
    {
        for (uint index = first; LargestOrder != 0 && index <= last && FindNext(ref index, last, PageTag.Any, out int pfn); index++)
        {
            if (_frames[pfn].Order != 0)
            {
                _ = FindSmall(cpu, index);
            }
        }
    }

    /// <summary>Takes a clean page out of the cache whoever else holds it.</summary>
    private void Drop(Cpu cpu, int pfn)
    {
        bool locked = TryLock(pfn);
        Detach(cpu, pfn, shadow: 0);
        if (locked)
        {
            Unlock(pfn);
        }

        _lru.Put(cpu, pfn);
    }

    /// <summary>Makes single pages of a large one that only the cache holds (<c>split_huge_page_to_list_to_order()</c>).</summary>
    private bool TrySplit(Cpu cpu, int head)
    {
        int order = _frames[head].Order;
        if (!_tree.TryReserveSplit(cpu, order, Gfp))
        {
            return false;
        }

        ref PageFrame frame = ref _frames[head];
        if (!Owns(head) || frame.Order != order || frame.RefCount != 1 || frame.MapCount != 0 || Has(head, PageFlags.Locked | PageFlags.Dirty | PageFlags.Writeback))
        {
            _tree.CancelReserve(cpu);
            return false;
        }

        CountPages(head, -1);
        _machine.Hooks.Charges?.Split(head, 1 << order, 1);
        Divide(head, order);
        _tree.SplitPages(cpu, frame.Index, order, head);
        for (int i = 0; i < 1 << order; i++)
        {
            CountPages(head + i, 1);
        }

        _machine.Hooks.OwnerTracker?.Split(head, order);
        return true;
    }

    /// <summary>The parts lie before the head in its list, in order; the lists' counts stay the same.</summary>
    private void Divide(int head, int order)
    {
        ref PageFrame first = ref _frames[head];
        LruVec vec = _lru.OfPage(head);
        vec.Enter();
        bool linked = first.IsOnLru && !first.IsUnevictable;
        Debug.Assert(first.Order == order && first.RefCount == 1 && first.MapCount == 0 && !first.IsLocked, "a page of this order that the cache alone holds");
        PageFlags flags = (first.StoredFlags & Inherited) | (first.IsOnLru ? PageFlags.Lru : 0);
        for (int i = (1 << order) - 1; i > 0; i--)
        {
            ref PageFrame part = ref _frames[head + i];
            part.Identity = PageFrame.ZoneBits(first.ZoneId);
            part.State = PageFrame.SinglePageState;
            _lru.SetFlags(ref part, flags);
            part.Mapping = first.Mapping;
            part.Index = first.Index + (uint)i;
            part.Prev = 0;
            _lru.Ages.Copy(head, head + i);
            _lru.Idle?.Copy(head, head + i);
            if (linked)
            {
                _frames.AddLast(head, head + i);
            }
        }

        _ = _lru.ClearFlags(ref first, PageFlags.Head);
        first.BecomeSinglePage(1);
        vec.Exit();
    }
}
