using System.Diagnostics;
using MemSim.PageAllocation;
using MemSim.Pages;
using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim.Compaction;

/// <summary>The scanner that goes down through a zone and takes free pages out of the buddy lists, for pages to be moved to.</summary>
/// <remarks>Kernel 6.1: <c>isolate_freepages()</c>. What is taken is allocated, page by page; what is not used is freed as any page.</remarks>
internal sealed class FreeScanner
{
    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly BuddyLists _buddy;

    public FreeScanner(Machine machine)
    {
        _machine = machine;
        _frames = machine.Frames.Array;
        _buddy = machine.Pages.Buddy;
    }

    /// <summary>Takes free pages until there are as many as pages to be moved, or the scanners meet.</summary>
    public void Scan(Cpu cpu, CompactControl cc)
    {
        FastIsolate(cpu, cc);
        if (cc.FreePages.Count != 0)
        {
            return;
        }

        Zone zone = cc.Zone;
        int from = cc.FreePfn;
        int blockStart = cc.BlockStart(from);
        int blockEnd = Math.Min(blockStart + cc.PageblockPages, cc.End);
        int low = cc.BlockEnd(cc.MigratePfn);
        int stride = cc.IsSync ? 1 : CompactControl.Cluster;
        for (; blockStart >= low; blockEnd = blockStart, blockStart -= cc.PageblockPages, from = blockStart)
        {
            if (!IsWholeBlock(zone, blockStart, blockEnd) || !IsTarget(cc, blockStart) || (!cc.IgnoreSkipHint && cc.Scanners.IsSkipped(blockStart)))
            {
                continue;
            }

            int taken = TakeFromBlock(cpu, cc, ref from, blockEnd, stride);
            if (from == blockEnd)
            {
                SkipBlock(cc, blockStart);
            }

            if (cc.FreePages.Count >= cc.MigratePages.Count)
            {
                from = from >= blockEnd ? blockStart - cc.PageblockPages : from;
                break;
            }

            if (from < blockEnd)
            {
                break;
            }

            // Blocks without free pages come in rows: look less closely the longer the row.
            stride = taken != 0 ? 1 : Math.Min(CompactControl.Cluster, stride << 1);
        }

        cc.FreePfn = from;
    }

    /// <summary>Gives pages back that nothing was moved to.</summary>
    /// <returns>The highest frame given back.</returns>
    public int Release(Cpu cpu, CompactControl cc)
    {
        int highest = 0;
        for (int i = cc.FreePages.Count - 1; i >= 0; i--)
        {
            int pfn = cc.FreePages[i];
            Debug.Assert(_frames[pfn].RefCount == 1 && _frames[pfn].Mapping == 0, "nothing was moved to what is given back");
            highest = Math.Max(highest, pfn);
            _machine.Pages.FreeBlock(cpu, pfn, 0);
        }

        cc.FreePages.Clear();
        return highest;
    }

    /// <summary>Takes a free block out of the lists as single allocated pages, unless the zone would fall below its min watermark.</summary>
    /// <remarks>The caller holds the zone's lock.</remarks>
    /// <returns>Whether it was taken.</returns>
    private bool TryTake(Cpu cpu, CompactControl cc, int pfn, int order)
    {
        Zone zone = cc.Zone;
        int type = zone.BlockType(pfn);
        if (!WatermarkCheck.PassesFull(zone, 0, zone.MarkMin + (1L << order), 0, AllocFlags.Cma, zone.FreePagesForChecks))
        {
            return false;
        }

        Debug.Assert(_frames[pfn].IsBuddy && _frames[pfn].Private == order, "a free block of its order");
        _buddy.Isolate(zone, cpu.Lists.Pcp[zone.Id], pfn, order);
        if (order >= zone.PageblockOrder - 1 && type < PerCpuPages.PcpTypes)
        {
            for (int block = pfn; block < pfn + (1 << order); block += 1 << zone.PageblockOrder)
            {
                zone.SetBlockType(block, (int)MigrateType.Movable);
            }
        }

        for (int page = pfn; page < pfn + (1 << order); page++)
        {
            _frames[page].Identity = PageFrame.FreeIdentity(zone.Id, 0);
            _frames[page].State = PageFrame.SinglePageState;
            Debug.Assert(_frames[page].RefCount == 1 && !_frames[page].IsBuddy, "a page to move to is allocated, and the scanner's");
            cc.FreePages.Add(page);
        }

        _machine.Events.Count(VmEvent.PagesFreed, 1L << order);
        return true;
    }

    private int TakeFromBlock(Cpu cpu, CompactControl cc, ref int from, int end, int stride)
    {
        Zone zone = cc.Zone;
        int start = from;
        int pfn = from;
        int scanned = 0;
        int taken = 0;
        int before = cc.FreePages.Count;
        _machine.Frames.Untouched.TouchAll(pfn, end);
        zone.EnterLock();
        while (pfn < end)
        {
            ref PageFrame frame = ref _frames[pfn];
            scanned++;
            if (!frame.IsBuddy)
            {
                bool compound = frame.RefCount != 0 && frame.IsCompoundHead;
                pfn += compound ? (1 << frame.Order) - 1 + stride : stride;
                continue;
            }

            int order = frame.Private;
            if (frame.ZoneId != zone.Id || !TryTake(cpu, cc, pfn, order))
            {
                break;
            }

            scanned += (1 << order) - 1;
            taken += 1 << order;
            pfn += 1 << order;
            if (cc.MigratePages.Count <= cc.FreePages.Count)
            {
                break;
            }
        }

        Debug.Assert(cc.FreePages.Count == before + taken, "what was taken is in the list");
        zone.ExitLock();
        pfn = Math.Min(pfn, end);
        _machine.Migration.Trace?.MmCompactionIsolateFreePages(cpu, start, pfn, scanned, taken);
        from = pfn;
        cc.FreeScanned += scanned;
        _machine.Events.Count(VmEvent.CompactIsolated, taken);
        return taken;
    }

    private bool IsWholeBlock(Zone zone, int start, int end) =>
        zone.PageblockTypes[(start >> zone.PageblockOrder) - (int)zone.FirstPageblock] != Zone.NoPageblock
        && ReferenceEquals(_machine.ZoneTable.ZoneOf(start), zone) && ReferenceEquals(_machine.ZoneTable.ZoneOf(end - 1), zone);

    /// <summary>Whether pages may be moved into a block: not into one that is free as a whole, and not into blocks of unmovable pages.</summary>
    private bool IsTarget(CompactControl cc, int blockStart)
    {
        if (_machine.Frames.Untouched.Covers(blockStart))
        {
            return false;
        }

        ref PageFrame frame = ref _frames[blockStart];
        if (frame.IsBuddy && frame.Private >= cc.Zone.PageblockOrder)
        {
            return false;
        }

        return cc.IgnoreBlockSuitable || cc.Zone.BlockType(blockStart) is (int)MigrateType.Movable or (int)MigrateType.Cma;
    }

    private static void SkipBlock(CompactControl cc, int blockStart)
    {
        if (cc.NoSetSkipHint)
        {
            return;
        }

        ZoneScanners state = cc.Scanners;
        state.Skip(blockStart);
        state.CachedFreePfn = Math.Min(state.CachedFreePfn, blockStart);
    }

    /// <summary>Takes one free block from the back of the lists, if one lies near the scanner: no walk over pages in use.</summary>
    private void FastIsolate(Cpu cpu, CompactControl cc)
    {
        if (cc.Order <= 0)
        {
            return;
        }

        Zone zone = cc.Zone;
        ZoneScanners state = cc.Scanners;
        int limit = Math.Max(1, cc.FreelistScanLimit >> 1);
        bool scanStart = cc.FreePfn >= state.InitFreePfn;
        if (scanStart)
        {
            limit = cc.PageblockPages >> 1;
        }

        int distance = cc.FreePfn - cc.MigratePfn;
        int low = cc.BlockStart(cc.FreePfn - (distance >> 2));
        int min = cc.BlockStart(cc.FreePfn - (distance >> 1));
        int highest = 0;
        int found = -1;
        int scanned = 0;
        cc.SearchOrder = Math.Min(cc.Order - 1, cc.SearchOrder);
        int first = cc.SearchOrder;
        for (int order = first; found < 0 && order >= 0; order = NextOrder(cc, order, first))
        {
            int looked = 0;
            int high = 0;
            int last = -1;
            zone.EnterLock();
            int head = zone.FreeArea.Head(order, (int)MigrateType.Movable);
            for (int pfn = _frames[head].Prev; pfn != head; pfn = _frames[pfn].Prev)
            {
                looked++;
                scanned++;
                last = pfn;
                highest = Math.Max(highest, Math.Max(cc.BlockStart(pfn), cc.Start));
                if (pfn >= low)
                {
                    cc.FastSearchFails = 0;
                    cc.SearchOrder = order;
                    found = pfn;
                    break;
                }

                if (pfn >= min && pfn > high)
                {
                    // Not as near as wished: take it if nothing nearer turns up soon.
                    high = pfn;
                    limit >>= 1;
                }

                if (looked >= limit)
                {
                    break;
                }
            }

            if (found < 0 && high != 0)
            {
                found = high;
            }

            if (last >= 0)
            {
                RotateBefore(head, last);
            }

            if (found >= 0)
            {
                if (TryTake(cpu, cc, found, order))
                {
                    scanned += (1 << order) - 1;
                    _machine.Events.Count(VmEvent.CompactIsolated, 1L << order);
                }
                else
                {
                    zone.ExitLock();
                    found = -1;
                    break;
                }
            }

            zone.ExitLock();
            if (looked >= limit)
            {
                limit = Math.Max(1, limit >> 1);
            }
        }

        if (found < 0)
        {
            cc.FastSearchFails++;
            if (scanStart)
            {
                if (highest >= min)
                {
                    found = highest;
                    cc.FreePfn = highest;
                }
                else if (cc.Direct && _machine.ZoneTable.ZoneOf(min) == zone)
                {
                    found = min;
                    cc.FreePfn = min;
                }
            }
        }

        if (highest != 0 && highest >= state.CachedFreePfn)
        {
            state.CachedFreePfn = highest - cc.PageblockPages;
        }

        cc.FreeScanned += scanned;
        if (found >= 0)
        {
            TakeAround(cpu, cc, found);
        }
    }

    /// <summary>Takes more free pages of the page block in which the fast search found one.</summary>
    private void TakeAround(Cpu cpu, CompactControl cc, int pfn)
    {
        if (cc.FreePages.Count >= cc.MigratePages.Count || (cc.Direct && cc.Mode == MigrationMode.Async))
        {
            return;
        }

        int start = Math.Max(cc.BlockStart(pfn), cc.Start);
        int end = Math.Min(cc.BlockEnd(pfn), cc.End);
        if (!IsWholeBlock(cc.Zone, start, end))
        {
            return;
        }

        TakeFromBlock(cpu, cc, ref start, end, 1);
        if (start == end && !cc.NoSetSkipHint)
        {
            cc.Scanners.Skip(pfn);
        }
    }

    /// <summary>The orders from the one that had pages last time down, then round from the highest.</summary>
    private static int NextOrder(CompactControl cc, int order, int first)
    {
        order--;
        if (order < 0)
        {
            order = cc.Order - 1;
        }

        if (order == first)
        {
            // All orders were searched: start one lower next time.
            cc.SearchOrder = cc.SearchOrder == 0 ? cc.Order - 1 : cc.SearchOrder - 1;
            return -1;
        }

        return order;
    }

    /// <summary>Turns a list so that a member is its first: the next search from the back sees others.</summary>
    private void RotateBefore(int head, int pfn)
    {
        _frames.Remove(head);
        _frames.AddLast(pfn, head);
    }
}
