using System.Runtime.CompilerServices;

namespace MemSim.Pages;

/// <summary>Free blocks of the largest order that were never used since the boot, and whose frames are therefore not written yet: the boot of a large machine need not touch its memory map.</summary>
/// <remarks>
/// Only the inner blocks of a run of neighbours on one free list are left out: what the frame of such a block would hold follows from its number (a free block of the largest order,
/// between the blocks below and above it). The links at both ends of a run are real, so lists are those of a machine that wrote everything. Whoever is about to write such a frame, or to read
/// it as part of something else than a walk over its list, says so first (<see cref="Touch"/>); allocations do when they take a neighbour off the list. Machines with parallel CPUs have none.
/// </remarks>
internal sealed class UntouchedBlocks
{
    private const int Pages = 1 << PageGeometry.MaxOrder;

    private readonly List<Run> _runs = [];
    private ulong[] _bits = [];

    /// <summary>Written blocks that lie beside one of those: taking such a block off its list costs a look, taking any other one a bit.</summary>
    private ulong[] _beside = [];
    private long _left;

    /// <summary>Blocks whose frames are not written.</summary>
    public long Count => _left;

    /// <summary>The frames: set once, when they exist.</summary>
    public FrameArray Frames { get; set; }

    /// <summary>Says that neighbouring free blocks lie on a list in this order, and that their frames will be written when somebody needs them.</summary>
    /// <param name="first">The first frame of the first of them.</param>
    /// <param name="blocks">How many.</param>
    /// <param name="zone">The number of their zone.</param>
    /// <param name="type">The migrate type of the list.</param>
    public void Add(int first, int blocks, int zone, int type)
    {
        int number = first >> PageGeometry.MaxOrder;
        int words = ((number + blocks) >> 6) + 1;
        if (words > _bits.Length)
        {
            Array.Resize(ref _bits, Math.Max(words, 2 * _bits.Length));
            Array.Resize(ref _beside, _bits.Length);
        }

        SetBeside(number - 1);
        SetBeside(number + blocks);

        for (int block = number; block < number + blocks;)
        {
            int end = Math.Min(number + blocks, (block | 63) + 1);
            _bits[block >> 6] |= (ulong.MaxValue >> (64 - (end - block))) << block;
            block = end;
        }

        int at = _runs.FindIndex(run => run.First > number);
        _runs.Insert(at < 0 ? _runs.Count : at, new Run(number, zone, type));
        _left += blocks;
    }

    /// <summary>Whether a frame lies in such a block.</summary>
    public bool Covers(int pfn) => _left != 0 && IsSet(pfn >> PageGeometry.MaxOrder);

    /// <summary>Whether a frame is the first of such a block.</summary>
    public bool IsHead(int pfn) => (pfn & (Pages - 1)) == 0 && Covers(pfn);

    /// <summary>The block that holds a frame is about to be used as any other: its frame is written.</summary>
    public void Touch(int pfn)
    {
        if (Covers(pfn))
        {
            Write(pfn >> PageGeometry.MaxOrder);
        }
    }

    /// <summary>Whether a block of the largest order, whose frame is written, lies beside one whose frame is not: then <see cref="TouchNeighbours"/> has something to do before it leaves its list.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsBeside(int pfn)
    {
        ulong[] beside = _beside;
        int block = pfn >> PageGeometry.MaxOrder;
        return (uint)(block >> 6) < (uint)beside.Length && (beside[block >> 6] >> block & 1) != 0;
    }

    /// <summary>The blocks next to a listed one on its list are about to be linked with each other.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void TouchNeighbours(int pfn)
    {
        int block = pfn >> PageGeometry.MaxOrder;
        _beside[block >> 6] &= ~(1UL << block);
        Touch(Frames[pfn].Next);
        Touch(Frames[pfn].Prev);
    }

    /// <summary>As <see cref="Touch"/>, for all blocks of a range.</summary>
    public void TouchAll(long start, long end)
    {
        for (long pfn = start; _left != 0 && pfn < end; pfn = (pfn | (Pages - 1)) + 1)
        {
            Touch((int)pfn);
        }
    }

    /// <summary>The frame after one on a free list, or the list's head; nothing is written.</summary>
    public int Next(int pfn) => IsHead(pfn) ? pfn + Pages : Frames[pfn].Next;

    /// <summary>The frame before one on a free list, or the list's head; nothing is written.</summary>
    public int Previous(int pfn) => IsHead(pfn) ? pfn - Pages : Frames[pfn].Prev;

    /// <summary>What a frame holds, or would hold if it had been written; nothing is.</summary>
    public PageFrame Read(int pfn) => IsHead(pfn) ? Content(pfn >> PageGeometry.MaxOrder) : Frames[pfn];

    private bool IsSet(int block) => (uint)(block >> 6) < (uint)_bits.Length && (_bits[block >> 6] >> block & 1) != 0;

    private void SetBeside(int block) => _beside[block >> 6] |= 1UL << block;

    private void Write(int block)
    {
        PageFrame content = Content(block);
        _bits[block >> 6] &= ~(1UL << block);
        _left--;
        SetBeside(block);
        Frames[block << PageGeometry.MaxOrder] = content;
    }

    private PageFrame Content(int block)
    {
        int low = 0;
        int high = _runs.Count - 1;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            (low, high) = _runs[middle].First <= block ? (middle, high) : (low, middle - 1);
        }

        int pfn = block << PageGeometry.MaxOrder;
        return new PageFrame
        {
            Identity = PageFrame.FreeIdentity(_runs[low].Zone, PageGeometry.MaxOrder),
            State = PageFrame.BuddyState,
            Next = pfn + Pages,
            Prev = pfn - Pages,
            Index = (uint)_runs[low].Type,
        };
    }

    /// <summary>Blocks from a number on that are of one zone and type.</summary>
    private readonly record struct Run(int First, int Zone, int Type);
}
