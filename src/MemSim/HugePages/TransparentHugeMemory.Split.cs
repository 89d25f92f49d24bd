using System.Diagnostics;
using MemSim.Diagnostics;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Statistics;
using MemSim.VirtualMemory;

namespace MemSim.HugePages;

/// <content>Splitting huge pages into small ones, at once or when memory runs short.</content>
internal sealed partial class TransparentHugeMemory
{
    /// <summary>What the small pages take over from the head.</summary>
    private const PageFlags Inherited = PageFlags.Referenced | PageFlags.SwapBacked | PageFlags.UpToDate | PageFlags.Active | PageFlags.WorkingSet | PageFlags.Unevictable | PageFlags.Dirty;

    /// <summary>Remembers a huge page of which part is not mapped any more (<c>deferred_split_huge_page()</c>).</summary>
    public void DeferSplit(int head)
    {
        if (_gathers && _frames[head].Order != Order)
        {
            if (_unmapping.Count == 0 || _unmapping[^1] != head)
            {
                _unmapping.Add(head);
            }

            return;
        }

        if (Queue(head).Add(head))
        {
            RegisterShrinkers();
            CountDeferred(head);
            Settings.Count(_frames[head].Order, HugePageStat.NrAnonPartiallyMapped);
        }
    }

    private void CountDeferred(int head)
    {
        if (_frames[head].Order == Order)
        {
            _events.Count(VmEvent.ThpDeferredSplitPage);
        }

        Settings.Count(_frames[head].Order, HugePageStat.SplitDeferred);
    }

    /// <summary>A huge page is gone or in pieces.</summary>
    /// <returns>Whether it waited to be split.</returns>
    public bool Forget(int head)
    {
        bool waited = Queue(head).Remove(head);
        Settings.Count(_frames[head].Order, HugePageStat.NrAnonPartiallyMapped, waited ? -1 : 0);
        return waited;
    }

    /// <summary>Makes 512 small pages of a huge one (<c>split_huge_page()</c>): entries that map it whole are split first. The caller holds a reference, which stays with the head.</summary>
    /// <returns>False when somebody unexpected holds the page: it stays as it is, though maybe mapped by small entries.</returns>
    /// <param name="cpu">The CPU.</param>
    /// <param name="head">The page.</param>
    /// <param name="counts">Whether it is counted: a page swapped out as a whole is in pieces here, where the kernel's is not.</param>
    public bool SplitPage(Cpu cpu, int head, bool counts = true)
    {
        int order = _frames[head].Order;
        int pages = 1 << order;
        bool locked = false;
        bool free = !_spaces.Pages.IsSwapCache(head) && _spaces.Maps.TotalMapCount(head) == _spaces.Pages.RefCount(head) - 1;
        if (free && order == Order)
        {
            locked = SplitEntries(cpu, head);
            free = _spaces.Maps.TotalMapCount(head) == _spaces.Pages.RefCount(head) - 1;
        }

        // Another CPU may just have taken a reference.
        if (!free || !FreezeReferences(head, order))
        {
            Count(order, VmEvent.ThpSplitPageFailed, HugePageStat.SplitFailed);
            return false;
        }

        if (!Forget(head) && order != Order && counts)
        {
            // While a page that entries of the lowest level map is taken out of them one by one, it looks as if part of it were given up.
            CountDeferred(head);
        }

        Settings.Count(order, HugePageStat.NrAnon, -1);
        Divide(head, order);
        if (counts)
        {
            Count(order, VmEvent.ThpSplitPage, HugePageStat.Split);
        }

        if (locked)
        {
            LockParts(cpu, head);
        }

        for (int i = 1; i < pages; i++)
        {
            // Parts that nothing maps are free now.
            if (_frames[head + i].InvertedMapCount == 0)
            {
                _spaces.Pages.Put(cpu, head + i);
            }
        }

        return true;
    }

    /// <summary>Keeps other CPUs from taking references (<c>page_ref_freeze()</c>), if there are none but those of its entries and the caller's.</summary>
    private bool FreezeReferences(int head, int order)
    {
        Debug.Assert(_frames[head].Order == order, "a whole large page");
        _spaces.Machine.Interleaver?.Pass("TransparentHugeMemory.FreezeReferences");
        return !_spaces.Machine.IsParallel || _frames[head].TryFreeze(_spaces.Maps.TotalMapCount(head) + 1, shared: true);
    }

    /// <summary>Splits every entry that maps the page whole.</summary>
    /// <returns>Whether an area that maps it is locked into memory.</returns>
    private bool SplitEntries(Cpu cpu, int head)
    {
        bool locked = false;
        if (!_spaces.Machine.Frames.Mappings.TryFind(_frames[head].Mapping, out AnonVma? anon))
        {
            return false;
        }

        uint index = _frames[head].Index;
        for (int i = 0; i < anon.Areas.Count; i++)
        {
            Vma vma = anon.Areas[i].Vma;
            locked |= (vma.Flags & VmaFlags.Locked) != 0;
            if (vma.TryAddressOf(index, out ulong address) && (address & _mask) == 0 && Find(vma, address, out ulong entry) != 0 && _layout.Pfn(entry) == head)
            {
                SplitEntry(cpu, vma, address);
            }
        }

        return locked;
    }

    private void Divide(int head, int order)
    {
        int pages = 1 << order;
        ref PageFrame first = ref _frames[head];
        LruVec vec = _spaces.Machine.Lru.OfPage(head);
        Zone zone = _spaces.Machine.Zones[first.ZoneId];
        bool listed = first.IsOnLru;
        bool linked = listed && !first.IsUnevictable;
        PageFlags flags = (first.StoredFlags & Inherited) | PageFlags.Lru;
        int own = _spaces.Maps.SmallMaps(head);
        Debug.Assert(first.Order == order && (order != Order || _spaces.Maps.WholeMaps(head) == 0), "a large page that nothing maps as a whole any more");
        _spaces.Machine.Hooks.Charges?.Split(head, pages, 1);
        vec.Enter();

        // The last part first, each right before the head, as the kernel's lru_add_page_tail() leaves them. The lists' counts stay the same.
        for (int i = pages - 1; i > 0; i--)
        {
            ref PageFrame frame = ref _frames[head + i];
            _spaces.Machine.Lru.SetFlags(ref frame, flags);
            frame.Private = 0;
            frame.Mapping = first.Mapping;
            frame.Index = first.Index + (uint)i;
            frame.BecomeSinglePage(Math.Max(frame.MapCount, 1));
            frame.Prev = 0;
            _spaces.Machine.Lru.Idle?.Copy(head, head + i);
            if (linked)
            {
                _frames.AddLast(head, head + i);
                _spaces.Machine.Lru.Ages.Copy(head, head + i);
            }
            else if (!listed)
            {
                vec.Add(ref frame, head + i, zone, back: true);
            }
        }

        _ = _spaces.Machine.Lru.ClearFlags(ref first, PageFlags.Head);
        first.BecomeSinglePage(own + 1);
        first.InvertedMapCount = -own;
        Debug.Assert(first.IsSinglePage && _frames[head + 1].IsSinglePage && !first.IsCompoundHead, "all parts are pages of their own");
        vec.Exit();
        _spaces.Machine.Hooks.OwnerTracker?.Split(head, order);
    }

    /// <summary>Small pages in locked areas are locked one by one.</summary>
    private void LockParts(Cpu cpu, int head)
    {
        if (!_spaces.Machine.Frames.Mappings.TryFind(_frames[head].Mapping, out AnonVma? anon))
        {
            return;
        }

        foreach (AnonVmaChain link in anon.Areas)
        {
            Vma vma = link.Vma;
            for (int i = 0; i < Pages && (vma.Flags & VmaFlags.Locked) != 0; i++)
            {
                if (vma.TryAddressOf(_frames[head + i].Index, out ulong address) && vma.Mm.Tables.FindSlot(address) is var slot and not 0
                    && vma.Mm.Tables.ReadSlot(slot) is var entry and not 0 && _layout.IsPresent(entry) && _layout.Pfn(entry) == head + i)
                {
                    _spaces.Machine.Lru.Mlock(cpu, head + i);
                }
            }
        }
    }

    private void Count(int order, VmEvent whole, HugePageStat stat)
    {
        if (order == Order)
        {
            _events.Count(whole);
        }

        Settings.Count(order, stat);
    }

    private DeferredSplits Queue(int head) => QueueOf(_spaces.Machine.Zones[_frames[head].ZoneId].Node);

    private DeferredSplits QueueOf(Node node)
    {
        foreach (DeferredSplits queue in _deferred)
        {
            if (queue.Node == node)
            {
                return queue;
            }
        }

        throw new InvalidOperationException($"{node} is not of this machine");
    }

    /// <summary>Whether a page waits to be split.</summary>
    public bool IsDeferred(int head) => Queue(head).Holds(head);

    /// <summary>Counts a page that goes to swap.</summary>
    public void CountSwapOut(int order, bool whole)
    {
        if (order == Order)
        {
            _events.Count(whole ? VmEvent.ThpSwpout : VmEvent.ThpSwpoutFallback);
        }

        Settings.Count(order, whole ? HugePageStat.Swpout : HugePageStat.SwpoutFallback);
    }

    /// <summary>Splits pages that wait for it (<c>deferred_split_scan()</c>).</summary>
    /// <returns>How many were split.</returns>
    public long SplitDeferred(Cpu cpu, Node node, long want)
    {
        using OwnersLock.Scope owners = _spaces.Machine.EnterOwners();
        DeferredSplits queue = QueueOf(node);
        long split = 0;
        foreach (int head in queue.Take(want))
        {
            // One whose last reference another CPU drops now is on its way out of the queue.
            if (_frames[head].IsLocked || !_spaces.Machine.Lru.TryGet(head))
            {
                continue;
            }

            split += SplitPage(cpu, head) ? 1 : 0;
            _spaces.Pages.Put(cpu, head);
        }

        return split;
    }

    /// <summary>Checks that what waits to be split is a huge page.</summary>
    public void CheckDeferred()
    {
        foreach (DeferredSplits queue in _deferred)
        {
            foreach (int head in queue.Take(queue.Count))
            {
                if (_frames[head].RefCount == 0 || _frames[head].Order == 0 || !_spaces.Pages.IsAnon(head))
                {
                    BugReporter.Corrupt($"frame 0x{head:x} waits to be split but is no huge page");
                }
            }
        }
    }

    private sealed class DeferredShrinker(TransparentHugeMemory huge) : Shrinker("thp-deferred_split")
    {
        protected override long CountObjects(in ShrinkRequest request) => huge.QueueOf(request.Node).Count;

        protected override long ScanObjects(in ShrinkRequest request)
        {
            long split = huge.SplitDeferred(request.Cpu, request.Node, request.ToScan);
            return split == 0 && huge.QueueOf(request.Node).Count == 0 ? Stop : split;
        }
    }
}
