using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Pages;

namespace MemSim.Zones;

/// <summary>The free lists of a zone: for each order and migrate type a list of blocks, head first, linked through the frames.</summary>
/// <remarks>Kernel: <c>zone->free_area[]</c>. The caller holds the zone's lock.</remarks>
internal struct FreeArea
{
    public const int MigrateTypes = 6;

    public const int ListHeads = PageGeometry.OrderCount * MigrateTypes;

    private readonly FrameArray _frames;
    private readonly UntouchedBlocks _untouched;
    private readonly int _firstHead;
    private OrderCounts _counts;
    private TypeMasks _nonEmpty;

    public FreeArea(FrameArray frames, UntouchedBlocks untouched, int firstHead)
    {
        _frames = frames;
        _untouched = untouched;
        _firstHead = firstHead;
    }

    /// <summary>The list head of an order and type.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly int Head(int order, int type) => _firstHead + (type * PageGeometry.OrderCount) + order;

    /// <summary>Free blocks of an order, of all types.</summary>
    public readonly long Blocks(int order) => _counts[order];

    /// <summary>The orders of which a type has blocks, one bit an order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly uint Orders(int type) => _nonEmpty[type];

    /// <summary>The orders of which any type that ordinary requests fall back to has blocks.</summary>
    public readonly uint OrdinaryOrders
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _nonEmpty[0] | _nonEmpty[1] | _nonEmpty[2];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly int First(int order, int type) => _frames[Head(order, type)].Next;

    /// <summary>Takes the front block off a list that has one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int TakeFirst(int order, int type)
    {
        FrameArray frames = _frames;
        int list = Head(order, type);
        ref PageFrame head = ref frames[list];
        int pfn = head.Next;
        if (order == PageGeometry.MaxOrder && _untouched.IsBeside(pfn))
        {
            _untouched.TouchNeighbours(pfn);
        }

        Debug.Assert(pfn != list && frames[pfn].Prev == list && IsBlock(in frames[pfn], pfn, order), "the list has a first block, marked as free and of its order, that leads back to the head");
        int next = frames[pfn].Next;
        head.Next = next;
        frames[next].Prev = list;
        _counts[order]--;
        if (next == list)
        {
            MarkEmpty(type, 1u << order);
        }

        Debug.Assert(SummaryAgrees(order, type), "the summary knows whether there are others");
        return pfn;
    }

    /// <summary>Gives the upper halves of a block to lists that are all empty, one an order: each becomes the only block of its list.</summary>
    /// <param name="pfn">The first frame of the block.</param>
    /// <param name="low">The order of what is kept.</param>
    /// <param name="high">The order of the block.</param>
    /// <param name="zone">The number of the zone.</param>
    /// <param name="type">The migrate type, of which the zone has no block of an order from <paramref name="low"/> to below <paramref name="high"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SplitOntoEmpty(int pfn, int low, int high, int zone, int type)
    {
        Debug.Assert((_nonEmpty[type] & ((1u << high) - (1u << low))) == 0, "a list with blocks would lose them");
        FrameArray frames = _frames;
        MarkNonEmpty(type, (1u << high) - (1u << low));
        int list = Head(high, type);
        ulong identity = PageFrame.FreeIdentity(zone, high);
        for (int order = high - 1; order >= low; order--)
        {
            list--;
            identity -= PageFrame.OneOrder;
            int upper = pfn + (1 << order);
            ref PageFrame frame = ref frames[upper];
            frame.Identity = identity;
            frame.State = PageFrame.BuddyState;
            frame.LinkBothWays(list);
            frame.Index = (uint)type;
            ref PageFrame head = ref frames[list];
            Debug.Assert(head.Next == list && head.Prev == list && IsBlock(in frame, upper, order), "the list is empty, and what goes on it is marked as a free block of its order");
            head.LinkBothWays(upper);
            _counts[order]++;
        }
    }

    /// <summary>Whether a frame is the first of a free block of an order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly bool IsFree(int pfn, int order, int zone)
    {
        ref PageFrame frame = ref _frames[pfn];
        return frame.State == PageFrame.BuddyState && frame.Identity == PageFrame.FreeIdentity(zone, order);
    }

    /// <summary>Takes the free buddies of a block off their lists, one an order, as long as there are some.</summary>
    /// <param name="pfn">A frame of the block.</param>
    /// <param name="order">The order of the block.</param>
    /// <param name="below">The order that it does not grow beyond.</param>
    /// <param name="zone">The number of the zone.</param>
    /// <param name="type">The migrate type of the block; its buddies may lie on lists of other types.</param>
    /// <returns>The order of the block together with its buddies, whose frames are neither free nor in use any more.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Merge(int pfn, int order, int below, int zone, int type)
    {
        FrameArray frames = _frames;
        ulong identity = PageFrame.FreeIdentity(zone, order);
        uint emptied = 0;
        for (; order < below; order++)
        {
            int buddy = pfn ^ (1 << order);
            ref PageFrame frame = ref frames[buddy];
            if (frame.State != PageFrame.BuddyState || frame.Identity != identity)
            {
                break;
            }

            int next = frame.Next;
            int prev = frame.Prev;
            Debug.Assert(_counts[order] > 0 && frames[next].Prev == buddy && frames[prev].Next == buddy, "the buddy is on a list that is counted");
            frame.State = 0;
            _counts[order]--;
            if (next == prev)
            {
                // Both neighbours are the head: the list has become empty. Mostly it is of the same type all the way up: noted once, in the end.
                frames[next].LinkBothWays(next);
                if ((int)frame.Index == type)
                {
                    emptied |= 1u << order;
                }
                else
                {
                    MarkEmpty((int)frame.Index, 1u << order);
                }
            }
            else
            {
                frames[next].Prev = prev;
                frames[prev].Next = next;
            }

            pfn &= buddy;
            identity += PageFrame.OneOrder;
        }

        MarkEmpty(type, emptied);
        return order;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddFirst(int pfn, int order, int type)
    {
        Push(ref _frames[pfn], pfn, order, type);
        MarkNonEmpty(type, 1u << order);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddLast(int pfn, int order, int type)
    {
        Debug.Assert(IsBlock(in _frames[pfn], pfn, order), "what goes on a free list is marked as a free block of its order");
        _frames.AddLast(Head(order, type), pfn);
        _counts[order]++;
        MarkNonEmpty(type, 1u << order);
        Debug.Assert(SummaryAgrees(order, type), "the summary knows of the block");
    }

    /// <summary>Puts a run of neighbouring blocks of the largest order at the back of a list, in address order, without writing the frames of the inner ones.</summary>
    /// <param name="first">The first frame of the first block.</param>
    /// <param name="blocks">How many, at least three.</param>
    /// <param name="zone">The number of the zone.</param>
    /// <param name="type">The migrate type.</param>
    public void AddRunLast(int first, int blocks, int zone, int type)
    {
        const int order = PageGeometry.MaxOrder;
        int last = first + ((blocks - 1) << order);
        for (int end = first; ; end = last)
        {
            ref PageFrame frame = ref _frames[end];
            frame.Identity = PageFrame.FreeIdentity(zone, order);
            frame.State = PageFrame.BuddyState;
            frame.Index = (uint)type;
            AddLast(end, order, type);
            if (end == last)
            {
                break;
            }
        }

        _frames[first].Next = first + (1 << order);
        _frames[last].Prev = last - (1 << order);
        _counts[order] += blocks - 2;
        _untouched.Add(first + (1 << order), blocks - 2, zone, type);
    }

    /// <summary>The block after one on its list, or the list's head: for walks that only read.</summary>
    public readonly int Next(int pfn) => _untouched.Next(pfn);

    /// <summary>The block before one on its list, or the list's head: for walks that only read.</summary>
    public readonly int Previous(int pfn) => _untouched.Previous(pfn);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Remove(int pfn, int order, int type)
    {
        if (order == PageGeometry.MaxOrder && _untouched.IsBeside(pfn))
        {
            _untouched.TouchNeighbours(pfn);
        }

        Debug.Assert(IsBlock(in _frames[pfn], pfn, order), "what is taken off a free list is marked as a free block of its order");
        if (Unlink(ref _frames[pfn], order, type))
        {
            MarkEmpty(type, 1u << order);
        }

        Debug.Assert(SummaryAgrees(order, type), "the summary knows whether there are others");
    }

    /// <summary>Puts a block at the front of its list without noting that the list has blocks: <see cref="MarkNonEmpty"/> does that for several orders at once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Push(ref PageFrame frame, int pfn, int order, int type)
    {
        Debug.Assert(IsBlock(in frame, pfn, order), "what goes on a free list is marked as a free block of its order");
        _frames.AddFirst(Head(order, type), ref frame, pfn);
        _counts[order]++;
    }

    /// <summary>Takes a block off its list without noting that the list may be empty now.</summary>
    /// <returns>Whether it is.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Unlink(ref PageFrame frame, int order, int type)
    {
        int next = frame.Next;
        int prev = frame.Prev;
        Debug.Assert(_counts[order] > 0 && _frames[next].Prev == _frames[prev].Next, "the block is on a list that is counted");
        _frames[next].Prev = prev;
        _frames[prev].Next = next;
        _counts[order]--;

        // Both neighbours are the same: the head, and the list has become empty.
        Debug.Assert(next != prev || next == Head(order, type), "only the head can be on both sides");
        return next == prev;
    }

    /// <summary>Notes that a type has blocks of these orders, one bit an order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void MarkNonEmpty(int type, uint orders) => _nonEmpty[type] |= orders;

    /// <summary>Notes that a type has no blocks of these orders.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void MarkEmpty(int type, uint orders) => _nonEmpty[type] &= ~orders;

    public void MoveToLast(int pfn, int order, int fromType, int toType)
    {
        Remove(pfn, order, fromType);
        AddLast(pfn, order, toType);
    }

    private static bool IsBlock(in PageFrame frame, int pfn, int order) => frame.State == PageFrame.BuddyState && frame.Private == order && (pfn & ((1 << order) - 1)) == 0;

    private readonly bool SummaryAgrees(int order, int type) => (_nonEmpty[type] >> order & 1) != 0 == (First(order, type) != Head(order, type));

    [InlineArray(PageGeometry.OrderCount)]
    private struct OrderCounts
    {
        private long _first;
    }

    [InlineArray(MigrateTypes)]
    private struct TypeMasks
    {
        private uint _first;
    }
}
