using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using MemSim.Kernels;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>The buddy arithmetic: taking blocks off a zone's free lists, splitting, merging. What it may not do is decide which type to take from: see <see cref="Fallback"/>.</summary>
/// <remarks>The caller holds the zone's lock. Placement is that of all kernels since 5.13: allocations take from the front, upper halves of a split go to the front, freed blocks to the front unless a larger merge is likely.</remarks>
internal sealed partial class BuddyLists
{
    private readonly FrameArray _frames;
    private readonly UntouchedBlocks _untouched;
    private readonly int _pageblockOrder;
    private readonly bool _mergedBlocksTakeType;

    /// <summary>The lowest order whose free blocks are counted apart; beyond all orders where the kernel does not.</summary>
    private readonly int _countedFrom;

    /// <summary>Free buddies of orders below this one merge without further questions.</summary>
    private readonly uint _plainBelow;

    /// <summary>Where the largest blocks go at random; null where lists keep the kernel's usual order.</summary>
    public PageShuffle? Shuffle { get; set; }

    public BuddyLists(FrameArray frames, UntouchedBlocks untouched, int pageblockOrder, AllocatorRules rules)
    {
        _frames = frames;
        _untouched = untouched;
        _pageblockOrder = pageblockOrder;
        _mergedBlocksTakeType = rules.MergedBlocksTakeType;
        _countedFrom = rules.CountsFreeBlocks ? pageblockOrder : int.MaxValue;
        _plainBelow = (uint)Math.Min(_countedFrom, Math.Min(pageblockOrder, PageGeometry.MaxOrder));
        CountsEachBlock = rules.CountsEachBlock;
    }

    /// <summary>Whether a block that changes lists changes the counters, once down and once up.</summary>
    public bool CountsEachBlock { get; }

    /// <summary>Takes the front block of the smallest sufficient order of one type and splits it down.</summary>
    /// <returns>The first frame, or -1. Its frame has neither type nor references: the caller says what it is now.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int TakeSmallest(Zone zone, PerCpuPages pcp, int order, int type)
    {
        uint orders = zone.FreeArea.Orders(type) >> order;
        if (orders == 0)
        {
            return -1;
        }

        int found = order + BitOperations.TrailingZeroCount(orders);
        int pfn = zone.FreeArea.TakeFirst(found, type);
        ref PageFrame frame = ref _frames[pfn];
        frame.Identity = PageFrame.FreeIdentity(zone.Id, 0);
        frame.State = 0;
        if (found >= _countedFrom)
        {
            CountPageblocks(zone, pcp, -(1 << found), type);
        }

        if (found > order)
        {
            // The smallest order that has a block: the lists of the orders below it are empty.
            SplitOntoEmpty(zone, pcp, pfn, order, found, type);
        }

        Debug.Assert((pfn & ((1 << order) - 1)) == 0 && frame.State == 0, "the block is aligned, and neither free nor in use");
        return pfn;
    }

    /// <summary>Takes the front block of an order and type off its list and makes its page blocks those of another type, which gets what the request does not need.</summary>
    /// <returns>The first frame, for the caller to count as taken: <paramref name="order"/> of the new type.</returns>
    public int TakeOver(Zone zone, PerCpuPages pcp, int found, int from, int order, int type)
    {
        int pfn = zone.FreeArea.First(found, from);
        zone.FreeArea.Remove(pfn, found, from);
        CountFree(zone, pcp, -(1 << found), from);
        if (found >= _countedFrom)
        {
            CountPageblocks(zone, pcp, -(1 << found), from);
        }

        _frames[pfn].Identity = PageFrame.FreeIdentity(zone.Id, 0);
        _frames[pfn].State = 0;
        SetBlockTypes(zone, pfn, found, type);
        if (found > order)
        {
            Expand(zone, pcp, pfn, order, found, type);
        }

        CountFree(zone, pcp, (1 << found) - (1 << order), type);
        return pfn;
    }

    /// <summary>Gives the page blocks of a block a type.</summary>
    public void SetBlockTypes(Zone zone, int pfn, int order, int type)
    {
        for (int block = pfn; block < pfn + (1 << order); block += 1 << _pageblockOrder)
        {
            zone.SetBlockType(block, type);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void SplitOntoEmpty(Zone zone, PerCpuPages pcp, int pfn, int low, int high, int type)
    {
        if (high > _countedFrom)
        {
            CountParts(zone, pcp, low, high, type);
        }

        zone.FreeArea.SplitOntoEmpty(pfn, low, high, zone.Id, type);
    }

    /// <summary>Gives the upper halves of a block back, one an order, keeping the lowest block of the order wanted.</summary>
    private void Expand(Zone zone, PerCpuPages pcp, int pfn, int low, int high, int type)
    {
        if (high > _countedFrom)
        {
            CountParts(zone, pcp, low, high, type);
        }

        ref FreeArea area = ref zone.FreeArea;
        FrameArray frames = _frames;
        area.MarkNonEmpty(type, (1u << high) - (1u << low));
        ulong identity = PageFrame.FreeIdentity(zone.Id, high);
        while (high > low)
        {
            high--;
            identity -= 1UL << 32;
            int upper = pfn + (1 << high);
            ref PageFrame frame = ref frames[upper];
            frame.Identity = identity;
            frame.State = PageFrame.BuddyState;
            frame.Index = (uint)type;
            area.Push(ref frame, upper, high, type);
        }
    }

    /// <summary>Frees a block: merges it with free buddies and puts the result into the list of <paramref name="type"/>.</summary>
    /// <param name="zone">The zone.</param>
    /// <param name="pcp">The lists of the CPU that frees: it counts.</param>
    /// <param name="pfn">The first frame, whose state is neither free nor in use any more.</param>
    /// <param name="order">The order of the block.</param>
    /// <param name="type">The list it goes to, whatever lists its buddies were in.</param>
    /// <param name="toTail">Whether the result goes to the back whatever its neighbours look like (boot, putting isolated blocks back).</param>
    public void Free(Zone zone, PerCpuPages pcp, int pfn, int order, int type, bool toTail = false)
    {
        Debug.Assert((pfn & ((1 << order) - 1)) == 0 && _frames[pfn].State == 0, "the block is aligned, and neither free nor in use");
        Debug.Assert(SpansBlock(zone, pfn, order), "the block is the zone's");
        CountFree(zone, pcp, 1 << order, type);
        ref FreeArea area = ref zone.FreeArea;

        if (order < PageGeometry.MaxOrder)
        {
            // Up to whole page blocks, and to the order that somebody waits for, there is nothing to ask but whether the buddy is free. Nobody waits for order -1.
            int plain = (int)Math.Min((uint)zone.CaptureOrder, _plainBelow);
            if (order < plain)
            {
                order = area.Merge(pfn, order, plain, zone.Id, type);
            }

            if (order >= plain)
            {
                order = MergeFurther(zone, pcp, pfn, order, type);
                if (order < 0)
                {
                    return;
                }
            }

            pfn &= -1 << order;
        }

        Debug.Assert(SpansBlock(zone, pfn, order), "blocks merge only with those of their zone");
        ref PageFrame frame = ref _frames[pfn];
        frame.Identity = PageFrame.FreeIdentity(zone.Id, order);
        frame.State = PageFrame.BuddyState;
        frame.Index = (uint)type;
        if (order >= _countedFrom)
        {
            CountPageblocks(zone, pcp, 1 << order, type);
        }

        if (toTail || (order >= PageShuffle.Order ? Shuffle?.PickTail() == true : MergeIsLikely(zone, pfn, order)))
        {
            area.AddLast(pfn, order, type);
        }
        else
        {
            area.AddFirst(pfn, order, type);
        }
    }

    /// <summary>Goes on merging where there is more to ask than whether the buddy is free: who waits for the block, and what types the page blocks have.</summary>
    /// <returns>The order of the block that came of it; -1 where somebody took it.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int MergeFurther(Zone zone, PerCpuPages pcp, int pfn, int order, int type)
    {
        for (; order < PageGeometry.MaxOrder; order++)
        {
            pfn &= -1 << order;
            if (order == zone.CaptureOrder && zone.Capture!.TryTake(zone, pcp.Cpu, pfn, type))
            {
                _frames[pfn].Identity = PageFrame.FreeIdentity(zone.Id, 0);
                _frames[pfn].State = 0;
                CountFree(zone, pcp, -(1 << order), type);
                return -1;
            }

            int buddy = pfn ^ (1 << order);
            if (!zone.FreeArea.IsFree(buddy, order, zone.Id)
                || (order >= _pageblockOrder && (order >= _countedFrom || zone.BlockType(buddy) != type) && !MergePageblocks(zone, pcp, buddy, order, type)))
            {
                break;
            }

            ref PageFrame frame = ref _frames[buddy];
            zone.FreeArea.Remove(buddy, order, (int)frame.Index);
            frame.State = 0;
        }

        return order;
    }

    /// <summary>Frees a run of neighbouring blocks of the largest order as the boot does: each to the back of its list, in address order.</summary>
    /// <param name="zone">The zone.</param>
    /// <param name="pcp">The lists of the CPU that frees: it counts.</param>
    /// <param name="pfn">The first frame of the first block; none of them was ever used.</param>
    /// <param name="blocks">How many, at least three.</param>
    /// <param name="type">The type of all their page blocks.</param>
    public void FreeRun(Zone zone, PerCpuPages pcp, int pfn, int blocks, int type)
    {
        const int most = 1 << 16;
        for (int left = blocks; left > 0; left -= most)
        {
            int pages = Math.Min(left, most) << PageGeometry.MaxOrder;
            CountFree(zone, pcp, pages, type);
            if (PageGeometry.MaxOrder >= _countedFrom)
            {
                CountPageblocks(zone, pcp, pages, type);
            }
        }

        zone.FreeArea.AddRunLast(pfn, blocks, zone.Id, type);
    }

    /// <summary>Takes a particular free block off its list and leaves it to the caller.</summary>
    public void Isolate(Zone zone, PerCpuPages pcp, int pfn, int order)
    {
        ref PageFrame frame = ref _frames[pfn];
        Debug.Assert(SpansBlock(zone, pfn, order), "the block is the zone's");
        int type = (int)frame.Index;
        zone.FreeArea.Remove(pfn, order, type);
        frame.Identity = PageFrame.FreeIdentity(zone.Id, 0);
        frame.State = 0;
        CountFree(zone, pcp, -(1 << order), type);
        if (order >= _countedFrom)
        {
            CountPageblocks(zone, pcp, -(1 << order), type);
        }
    }

    /// <summary>Splits a free block into free blocks of a lower order, at the front of the lists of its type, the lowest first.</summary>
    public void SplitFree(Zone zone, PerCpuPages pcp, int pfn, int lower)
    {
        ref PageFrame head = ref _frames[pfn];
        int type = (int)head.Index;
        int order = head.Private;
        Debug.Assert(lower <= order, "parts are no larger than the whole");
        zone.FreeArea.Remove(pfn, order, type);
        for (int part = pfn + (1 << order) - (1 << lower); part >= pfn; part -= 1 << lower)
        {
            ref PageFrame frame = ref _frames[part];
            frame.Identity = PageFrame.FreeIdentity(zone.Id, lower);
            frame.State = PageFrame.BuddyState;
            frame.Index = (uint)type;
            zone.FreeArea.AddFirst(part, lower, type);
        }

        if (order >= _countedFrom && lower < _countedFrom)
        {
            CountPageblocks(zone, pcp, -(1 << order), type);
        }
    }

    /// <summary>Takes an aligned block of an order out of the free block that holds it and gives the rest back at the front of the lists, as the kernel takes a poisoned page off.</summary>
    /// <returns>Whether the whole block was free in the buddy lists as part of one free block.</returns>
    public bool TakeBlock(Zone zone, PerCpuPages pcp, int pfn, int wanted)
    {
        int order = FindFreeBlock(pfn, out int head);
        if (order < wanted)
        {
            return false;
        }

        int type = (int)_frames[head].Index;
        zone.FreeArea.Remove(head, order, type);
        if (order >= _countedFrom)
        {
            CountPageblocks(zone, pcp, -(1 << order), type);
        }

        _frames[head].Identity = PageFrame.FreeIdentity(zone.Id, 0);
        _frames[head].State = 0;
        int low = head;
        while (order > wanted)
        {
            order--;
            int upper = low + (1 << order);
            int given = pfn >= upper ? low : upper;
            low = pfn >= upper ? upper : low;
            ref PageFrame frame = ref _frames[given];
            frame.Identity = PageFrame.FreeIdentity(zone.Id, order);
            frame.State = PageFrame.BuddyState;
            frame.Index = (uint)type;
            zone.FreeArea.AddFirst(given, order, type);
            if (order >= _countedFrom)
            {
                CountPageblocks(zone, pcp, 1 << order, type);
            }
        }

        _frames[pfn].Identity = PageFrame.FreeIdentity(zone.Id, 0);
        _frames[pfn].State = 0;
        CountFree(zone, pcp, -(1 << wanted), type);
        return true;
    }

    private bool SpansBlock(Zone zone, int pfn, int order) => _frames[pfn].ZoneId == zone.Id && pfn >= zone.StartPfn.Value && pfn + (1 << order) <= zone.EndPfn.Value;

    /// <summary>The free block that holds a frame.</summary>
    /// <returns>Its order, or -1 when the frame is not free in the buddy lists.</returns>
    public int FindFreeBlock(int pfn, out int head)
    {
        _untouched.Touch(pfn);
        for (int order = 0; order <= PageGeometry.MaxOrder; order++)
        {
            head = pfn & ~((1 << order) - 1);
            ref PageFrame frame = ref _frames[head];
            if (frame.IsBuddy && frame.Private >= order)
            {
                return frame.Private;
            }
        }

        head = -1;
        return -1;
    }

    /// <summary>Moves every free block of a range to the back of another type's lists, in address order, and counts the pages in use that can be moved.</summary>
    /// <returns>Free pages moved.</returns>
    public int MoveRange(Zone zone, PerCpuPages pcp, int start, int end, int type, out int movable)
    {
        int free = CountRange(start, end, out movable);
        MoveRange(zone, pcp, start, end, type);
        return free;
    }

    /// <summary>Moves every free block of a range to the back of another type's lists, in address order.</summary>
    public void MoveRange(Zone zone, PerCpuPages pcp, int start, int end, int type)
    {
        _untouched.TouchAll(start, end);
        for (int pfn = start; pfn < end;)
        {
            ref PageFrame frame = ref _frames[pfn];
            int order = 0;
            if (frame.IsBuddy)
            {
                order = frame.Private;
                MoveToTail(zone, pcp, pfn, order, type);
            }
            else if (frame.IsInUse)
            {
                order = frame.Order;
            }

            pfn += 1 << order;
        }
    }

    /// <summary>Counts the free pages of a range, and those in use that can be moved.</summary>
    public int CountRange(int start, int end, out int movable)
    {
        _untouched.TouchAll(start, end);
        int free = 0;
        movable = 0;
        int pfn = start;
        while (pfn < end)
        {
            ref PageFrame frame = ref _frames[pfn];
            if (frame.IsBuddy)
            {
                int order = frame.Private;
                free += 1 << order;
                pfn += 1 << order;
                continue;
            }

            bool canMove = frame.IsOnLru || frame.IsDriverMovable;
            int pages = frame.IsInUse ? 1 << frame.Order : 1;
            bool compound = frame.IsCompoundHead;
            if (canMove)
            {
                movable += compound ? Math.Min(pages, end - pfn) : 1;
            }

            pfn += pages;
        }

        return free;
    }

    /// <summary>Moves a free block to the back of another type's list.</summary>
    public void MoveToTail(Zone zone, PerCpuPages pcp, int pfn, int order, int type)
    {
        ref PageFrame frame = ref _frames[pfn];
        int from = (int)frame.Index;
        int pages = 1 << order;
        zone.FreeArea.MoveToLast(pfn, order, from, type);
        frame.Index = (uint)type;
        if (CountsEachBlock)
        {
            CountFree(zone, pcp, -pages, from);
            CountFree(zone, pcp, pages, type);
        }
        else
        {
            CountKind(zone, -pages, from);
            CountKind(zone, pages, type);
        }

        bool wasIsolated = from == (int)MigrateType.Isolate;
        if (order >= _countedFrom && wasIsolated != (type == (int)MigrateType.Isolate))
        {
            zone.AddFreeBlocks(pcp, wasIsolated ? pages : -pages);
        }
    }

    /// <summary>Whether free blocks of whole page blocks may merge; the buddy's page blocks then take the type of the block that was freed, where the kernel does that.</summary>
    private bool MergePageblocks(Zone zone, PerCpuPages pcp, int buddy, int order, int type)
    {
        int buddyType = zone.BlockType(buddy);
        if (!MayMergeBlocks(buddyType, type))
        {
            return false;
        }

        if (buddyType != type && _mergedBlocksTakeType)
        {
            SetBlockTypes(zone, buddy, order, type);
        }

        if (order >= _countedFrom)
        {
            CountPageblocks(zone, pcp, -(1 << order), (int)_frames[buddy].Index);
        }

        return true;
    }

    /// <summary>Whole page blocks of different types only merge when both are of the ordinary types.</summary>
    private static bool MayMergeBlocks(int buddyType, int type) =>
        buddyType == type || (buddyType < PerCpuPages.PcpTypes && type < PerCpuPages.PcpTypes);

    /// <summary>
    /// Whether the buddy of the block one order up is free: then the lower buddy is likely to come back soon and the two to merge again, so the block is better not handed out next.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool MergeIsLikely(Zone zone, int pfn, int order) =>
        order < PageGeometry.MaxOrder - 1 && zone.FreeArea.IsFree((pfn & ~(1 << order)) ^ (2 << order), order + 1, zone.Id);
}
