using MemSim.Diagnostics;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Checks every invariant of the page allocator: lists, counters, types, and that no two blocks overlap.</summary>
/// <remarks>
/// Walks the lists first and then every frame of every zone that was ever written, so that what is in no list is found as well. Frames of free blocks that nobody used since the boot, and of
/// memory that the allocator never gets, are neither read nor made. Names the first thing that is wrong.
/// </remarks>
internal sealed class StateVerifier
{
    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly UntouchedBlocks _untouched;

    /// <summary>The orders of the blocks found in per-CPU lists: a frame there does not say its own, and finding its list anew means to walk it to its end.</summary>
    private readonly Dictionary<int, int> _pcpOrders = [];

    public StateVerifier(Machine machine)
    {
        _machine = machine;
        _frames = machine.Frames.Array;
        _untouched = machine.Frames.Untouched;
    }

    public void Verify()
    {
        foreach (Zone zone in _machine.Zones)
        {
            Counts listed = default;
            VerifyFreeLists(zone, ref listed);
            VerifyPcp(zone, ref listed);
            VerifyFrames(zone, listed);
            VerifyFigures(zone);
        }
    }

    /// <summary>Checks the free lists alone, and the counters of what is in them.</summary>
    public void VerifyFreeLists()
    {
        foreach (Zone zone in _machine.Zones)
        {
            Counts listed = default;
            VerifyFreeLists(zone, ref listed);
        }
    }

    private static void Fail(Zone zone, string what) => BugReporter.Corrupt($"{zone}: {what}");

    private void VerifyFreeLists(Zone zone, ref Counts listed)
    {
        long free = 0;
        long cma = 0;
        long highAtomic = 0;
        long wholeBlocks = 0;
        for (int order = 0; order < PageGeometry.OrderCount; order++)
        {
            long blocks = 0;
            for (int type = 0; type < FreeArea.MigrateTypes; type++)
            {
                long count = VerifyFreeList(zone, order, type);
                if (count != 0 != ((zone.FreeArea.Orders(type) >> order & 1) != 0))
                {
                    Fail(zone, $"the summary of order {order} type {(MigrateType)type} says {(count == 0 ? "blocks" : "no blocks")} but the list holds {count}");
                }

                blocks += count;
                free += type == (int)MigrateType.Isolate ? 0 : count << order;
                cma += type == (int)MigrateType.Cma ? count << order : 0;
                highAtomic += type == (int)MigrateType.HighAtomic ? count << order : 0;
                wholeBlocks += type != (int)MigrateType.Isolate && order >= zone.PageblockOrder ? count << order : 0;
            }

            listed.FreeBlocks += blocks;
            listed.FreePages += blocks << order;
            if (blocks != zone.FreeArea.Blocks(order))
            {
                Fail(zone, $"nr_free[{order}]={zone.FreeArea.Blocks(order)} but the lists hold {blocks}");
            }
        }

        if (free != zone.TrueFreePages)
        {
            Fail(zone, $"the free-page counter says {zone.TrueFreePages} but the lists hold {free} pages");
        }

        if (zone.Rules.CountsFreeHighAtomic && highAtomic != zone.FreeHighAtomic)
        {
            Fail(zone, $"the counter of free pages reserved for high-order atomic requests says {zone.FreeHighAtomic} but their lists hold {highAtomic} pages");
        }

        if (zone.Rules.CountsFreeBlocks && wholeBlocks != zone.FreePageblockPages)
        {
            Fail(zone, $"the counter of pages in free page blocks says {zone.FreePageblockPages} but the lists hold {wholeBlocks}");
        }

        if (zone.HasCma && cma != zone.FreeCmaPagesCount)
        {
            Fail(zone, $"the free CMA counter says {zone.FreeCmaPagesCount} but the lists hold {cma} pages");
        }
    }

    private long VerifyFreeList(Zone zone, int order, int type)
    {
        int head = zone.FreeArea.Head(order, type);
        long count = 0;
        for (int pfn = Follow(zone, head); pfn != head; pfn = Follow(zone, pfn))
        {
            PageFrame frame = _untouched.Read(pfn);
            bool good = frame.State == PageFrame.BuddyState && frame.Identity == PageFrame.FreeIdentity(zone.Id, order) && frame.Index == (uint)type;
            if (!good)
            {
                Fail(zone, $"pfn 0x{pfn:x} in the list of order {order} type {(MigrateType)type} says of itself: order {frame.Private}, type {frame.Index}, {_machine.Frames.FlagsOf(pfn)}, {frame.RefCount} references");
            }

            count++;
        }

        return count;
    }

    private void VerifyPcp(Zone zone, ref Counts listed)
    {
        foreach (PerCpuPages pcp in zone.Pcp)
        {
            int pages = 0;
            for (int list = 0; list < PerCpuPages.Lists; list++)
            {
                int head = pcp.FirstHead + list;
                int order = PerCpuPages.ListOrder(list, zone.PageblockOrder);
                for (int pfn = Follow(zone, head); pfn != head; pfn = Follow(zone, pfn))
                {
                    ref PageFrame frame = ref _frames[pfn];
                    if (frame.State != PageFrame.PcpState || frame.ZoneId != zone.Id || frame.StoredFlags != PageFlags.None)
                    {
                        Fail(zone, $"pfn 0x{pfn:x} in list {list} of CPU {pcp.Cpu} is not a free page of this zone");
                    }

                    _pcpOrders[pfn] = order;
                    pages += 1 << order;
                    listed.PcpBlocks++;
                    listed.PcpPages += 1 << order;
                }
            }

            if (pages != pcp.Count)
            {
                Fail(zone, $"CPU {pcp.Cpu}: count={pcp.Count} but the lists hold {pages} pages");
            }

            if (Math.Abs((long)pcp.FreePagesDiff) > Math.Max(pcp.StatThreshold, pcp.DiffAtLowering))
            {
                Fail(zone, $"CPU {pcp.Cpu} keeps {pcp.FreePagesDiff} pages of the free counter to itself, more than its threshold {pcp.StatThreshold}");
            }
        }
    }

    /// <summary>Follows a link and checks that it leads back.</summary>
    private int Follow(Zone zone, int index)
    {
        int next = _untouched.Next(index);
        if ((uint)next >= (ulong)_machine.Frames.Length || _untouched.Previous(next) != index)
        {
            Fail(zone, $"list corruption: 0x{index:x} points to 0x{next:x}, which does not point back");
        }

        return next;
    }

    private void VerifyFrames(Zone zone, in Counts listed)
    {
        Counts seen = default;
        long allocated = 0;
        long end = zone.EndPfn.Value;
        long blockEnd = zone.StartPfn.Value;
        long blockStart = -1;
        int blockOrder = 0;
        for (long pfn = zone.StartPfn.Value; pfn < end; pfn++)
        {
            if ((pfn & ((1L << PageGeometry.MaxOrder) - 1)) == 0)
            {
                seen.FreeBlocks += _untouched.IsHead((int)pfn) ? 1 : 0;
                if (_machine.ZoneTable.IsNeverUsed((int)pfn))
                {
                    pfn += (1L << PageGeometry.MaxOrder) - 1;
                    continue;
                }
            }

            ref PageFrame frame = ref _frames[(int)pfn];
            // Parts of a huge page say how many entries map them (MapCounts); MmVerifier checks that.
            bool isPart = !frame.IsInUse && frame.IsMapped && pfn < blockEnd;
            if (frame.State == 0 || frame.ZoneId != zone.Id || isPart)
            {
                continue;
            }

            if (pfn < blockEnd)
            {
                Fail(zone, $"pfn 0x{pfn:x} is a block of its own inside the block of order {blockOrder} at pfn 0x{blockStart:x}");
            }

            int order = frame.IsPcp ? -1 : frame.IsBuddy ? frame.Private : frame.Order;
            if (frame.IsBuddy)
            {
                seen.FreeBlocks++;
            }
            else if (frame.IsPcp)
            {
                seen.PcpBlocks++;
                order = _pcpOrders.GetValueOrDefault((int)pfn);
            }
            else
            {
                allocated += 1L << order;
            }

            if ((pfn & ((1L << order) - 1)) != 0 || pfn + (1L << order) > end)
            {
                Fail(zone, $"the block of order {order} at pfn 0x{pfn:x} is misaligned or leaves the zone");
            }

            blockEnd = pfn + (1L << order);
            (blockStart, blockOrder) = (pfn, order);
        }

        if (seen.FreeBlocks != listed.FreeBlocks || seen.PcpBlocks != listed.PcpBlocks)
        {
            Fail(zone, $"{seen.FreeBlocks} free blocks and {seen.PcpBlocks} blocks of per-CPU lists exist, but the lists hold {listed.FreeBlocks} and {listed.PcpBlocks}");
        }

        long known = listed.FreePages + listed.PcpPages + allocated + zone.UntrackedPages;
        if (zone.Type != ZoneType.Device && known != zone.ManagedPages)
        {
            Fail(zone, $"{zone.ManagedPages} pages are managed, but {listed.FreePages} are free, {listed.PcpPages} in per-CPU lists, {allocated} allocated and {zone.UntrackedPages} held since boot");
        }
    }

    private static void VerifyFigures(Zone zone)
    {
        if (zone.MarkMin > zone.MarkLow || zone.MarkLow > zone.MarkHigh)
        {
            Fail(zone, $"watermarks out of order: min {zone.MarkMin}, low {zone.MarkLow}, high {zone.MarkHigh}");
        }

        if (zone.ManagedPages > zone.PresentPages || zone.PresentPages > zone.SpannedPages)
        {
            Fail(zone, $"spanned {zone.SpannedPages}, present {zone.PresentPages}, managed {zone.ManagedPages} are out of order");
        }

        if (zone.Lock.IsHeld)
        {
            Fail(zone, "a lock is held although nobody is inside");
        }
    }

    private struct Counts
    {
        public long FreeBlocks;
        public long FreePages;
        public long PcpBlocks;
        public long PcpPages;
    }
}
