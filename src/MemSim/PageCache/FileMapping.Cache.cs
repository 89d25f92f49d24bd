using System.Diagnostics;
using MemSim.Pages;

namespace MemSim.PageCache;

/// <content>Pages come into the cache and leave it.</content>
internal abstract partial class FileMapping
{
    /// <summary>The page at an index, or the large page that covers it; no reference is taken.</summary>
    /// <returns>The page, or -1.</returns>
    public int Find(uint index)
    {
        long entry = _tree.Get(index);
        return PageTree.IsPage(entry) ? PageTree.PfnOf(entry) : -1;
    }

    /// <summary>The next page at or after an index, or a large one that covers it; no reference is taken. The search goes on behind <see cref="LastIndexOf"/>.</summary>
    public bool FindNext(ref uint index, uint last, PageTag tag, out int pfn)
    {
        pfn = -1;
        while (_tree.Next(ref index, last, tag, out long entry))
        {
            if (PageTree.IsPage(entry))
            {
                pfn = PageTree.PfnOf(entry);
                return true;
            }

            if (index == last)
            {
                break;
            }

            index++;
        }

        return false;
    }

    /// <summary>Puts a page that the caller holds into the cache, locked, and on its LRU list (<c>filemap_add_folio()</c>).</summary>
    /// <returns>ENOMEM, or EEXIST when there is a page.</returns>
    public Errno Add(Cpu cpu, int pfn, uint index, Gfp gfp)
    {
        ref PageFrame frame = ref _frames[pfn];
        int order = frame.Order;
        if ((_machine.Hooks.Charges is not null && !_machine.Cgroups.TryCharge(cpu, owner: null, pfn, gfp)) || !_tree.TryReserve(cpu, index, gfp, order))
        {
            return Errno.ENOMEM;
        }

        if (HasPages(index, order))
        {
            _tree.CancelReserve(cpu);
            return Errno.EEXIST;
        }

        Debug.Assert(frame.RefCount > 0 && frame.Mapping == 0 && !frame.IsOnLru && frame.MapCount == 0, "the caller's page, which belongs to nobody yet");
        Set(pfn, IsShmem ? PageFlags.Locked | PageFlags.SwapBacked : PageFlags.Locked);
        frame.Mapping = MappingValue;
        frame.Index = index;
        _machine.Frames.AddReferences(pfn, 1);
        long before = _tree.Store(cpu, index, PageTree.PageEntry(pfn), order);
        CountPages(pfn, 1);
        if (PageTree.IsValue(before) && _tree.TracksShadows && (gfp & Gfp.Write) == 0)
        {
            _lru.Refault(cpu, pfn, PageTree.ValueOf(before));
        }

        _lru.Add(cpu, pfn);
        return Errno.None;
    }

    /// <summary>Allocates a page and puts it into the cache, locked, with a reference for the caller besides the cache's.</summary>
    /// <returns>The page, or -1.</returns>
    public int Create(Cpu cpu, uint index, Gfp gfp, out Errno error, int order = 0)
    {
        Page page = cpu.AllocPages(order == 0 ? gfp : gfp | Gfp.Comp, order);
        if (page.IsNull)
        {
            error = Errno.ENOMEM;
            return -1;
        }

        int pfn = page.FrameIndex;
        error = Add(cpu, pfn, index, gfp);
        if (error != Errno.None)
        {
            cpu.FreePages(page, order);
            return -1;
        }

        return pfn;
    }

    /// <summary>Takes a locked page out of the tree (<c>__filemap_remove_folio()</c>); the cache's reference is left to the caller.</summary>
    private void Detach(Cpu cpu, int pfn, long shadow)
    {
        ref PageFrame frame = ref _frames[pfn];
        uint index = frame.Index;
        Debug.Assert(Owns(pfn) && frame.RefCount > 0, "a page of this cache");
        if (frame.IsDirty && Clear(pfn, PageFlags.Dirty) && WritesBack)
        {
            CountCleaned(pfn);
        }

        if (shadow != 0)
        {
            _tree.Evict(index, PageTree.ValueEntry(shadow), frame.Order);
        }
        else
        {
            _tree.Remove(cpu, index, frame.Order);
        }

        frame.Mapping = 0;
        CountPages(pfn, -1);
        OnRemoved(index);
    }

    /// <summary>The last index that a page of the cache covers.</summary>
    public uint LastIndexOf(int pfn) => _frames[pfn].Index + (uint)((1L << _frames[pfn].Order) - 1);

    /// <summary>Counts a page that comes (1) or goes (-1).</summary>
    private void CountPages(int pfn, int sign)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (frame.Order == 0 && !_isCountedTwice)
        {
            _cache.CountersOf(frame.ZoneId).FilePages += sign;
            return;
        }

        CountOtherPages(pfn, sign);
    }

    private void CountOtherPages(int pfn, int sign)
    {
        int order = _frames[pfn].Order;
        int pages = sign << order;
        NodeCounters counters = CountersOf(pfn);
        counters.FilePages += pages;
        if (IsShmem)
        {
            counters.Shmem += pages;
        }

        if (order != 0 && order >= HugeOrder)
        {
            counters.FileHugePages += pages;
        }

        if (IsDevice)
        {
            _machine.SystemFigures.BufferPages += pages;
        }
    }

    /// <summary>Whether the cache has pages where a page is to be put.</summary>
    private bool HasPages(uint index, int order)
    {
        if (order == 0)
        {
            return PageTree.IsPage(_tree.Get(index));
        }

        uint last = index + (uint)((1L << order) - 1);
        return FindNext(ref index, last, PageTag.Any, out _);
    }

    /// <summary>A page left the cache.</summary>
    protected virtual void OnRemoved(uint index)
    {
    }

    /// <summary>Forgets a page that the cache, the caller and nobody else holds (<c>__remove_mapping()</c>): locked, clean, mapped nowhere. The cache's reference is dropped.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="pfn">The page.</param>
    /// <param name="leavesShadow">Whether its place remembers when it went.</param>
    public bool TryRemove(Cpu cpu, int pfn, bool leavesShadow)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (frame.RefCount != 2 || frame.Has(PageFlags.Dirty | PageFlags.Writeback) || frame.MapCount != 0 || !HasInPlace(pfn))
        {
            return false;
        }

        Detach(cpu, pfn, leavesShadow && _tree.TracksShadows ? _lru.EvictionShadow(cpu, pfn) : 0);
        _machine.Frames.AddReferences(pfn, -1);
        return true;
    }

    /// <summary>Gives a page's place to another page (<c>folio_migrate_mapping()</c>): both locked, the old one mapped nowhere.</summary>
    public bool TryMove(Cpu cpu, int from, int to)
    {
        ref PageFrame old = ref _frames[from];
        ref PageFrame fresh = ref _frames[to];
        if (!HasInPlace(from) || old.RefCount != 2 || Has(from, PageFlags.Writeback) || fresh.Order != old.Order)
        {
            return false;
        }

        uint index = old.Index;
        fresh.Mapping = MappingValue;
        fresh.Index = index;
        if (IsShmem)
        {
            Set(to, PageFlags.SwapBacked);
        }

        bool dirty = Clear(from, PageFlags.Dirty);
        if (dirty)
        {
            Set(to, PageFlags.Dirty);
        }

        _machine.Frames.AddReferences(to, 1);
        Debug.Assert(old.MapCount == 0 && fresh.RefCount > 0, "nothing maps the old one, and somebody holds the new one");
        _ = _tree.Store(cpu, index, PageTree.PageEntry(to), old.Order);
        old.Mapping = 0;
        CountPages(from, -1);
        CountPages(to, 1);
        if (dirty && WritesBack)
        {
            CountersOf(from).Dirty--;
            CountersOf(to).Dirty++;
            _cache.Zones[old.ZoneId].Counters.WritePending--;
            _cache.Zones[fresh.ZoneId].Counters.WritePending++;
        }

        _machine.Frames.AddReferences(from, -1);
        return true;
    }

    /// <summary>Forgets clean pages that nobody uses or maps (<c>invalidate_mapping_pages()</c>).</summary>
    /// <returns>How many went.</returns>
    public long Invalidate(Cpu cpu, uint first, uint last)
    {
        long dropped = 0;
        for (uint index = first; FindNext(ref index, last, PageTag.Any, out int pfn); index++)
        {
            // A large page that lies only partly in the range stays.
            index = LastIndexOf(pfn);
            if (index <= last && _frames[pfn].Index >= first && TryLock(pfn))
            {
                long pages = 1L << _frames[pfn].Order;
                _machine.Frames.AddReferences(pfn, 1);
                bool removed = !IsUnevictable && TryRemove(cpu, pfn, leavesShadow: false);
                Unlock(pfn);
                _lru.Put(cpu, pfn);
                dropped += removed ? pages : 0;
            }

            if (index >= last)
            {
                break;
            }
        }

        return dropped;
    }
}
