using System.Runtime.CompilerServices;

namespace MemSim.Pages;

/// <summary>A machine's page frames: what a frame is part of, its references and flags. <c>Machine.Frames</c>.</summary>
internal sealed class FrameTable
{
    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly List<(long Start, long End)> _reserved;
    private readonly bool _parallel;

    public FrameTable(Machine machine, MemMap map, MemoryModel model, IEnumerable<(long Start, long End)> reserved)
    {
        _machine = machine;
        _frames = map.Array;
        _reserved = [.. reserved];
        _parallel = machine.IsParallel;
        Map = map;
        Model = model;
    }

    /// <summary>The host memory behind them.</summary>
    public MemMap Map { get; }

    /// <summary>The frames by number, with the list heads behind them: what hot code holds.</summary>
    public FrameArray Array => _frames;

    /// <summary>How frame numbers lead to page frames.</summary>
    public MemoryModel Model { get; }

    /// <summary>What <c>page->mapping</c> can point at.</summary>
    public MappingTable Mappings { get; } = new();

    /// <summary>Which pages nobody used lately; null without idle page tracking.</summary>
    public IdlePages? Idle { get; set; }

    /// <summary>Frames with hardware errors.</summary>
    public PoisonedFrames Poisoned { get; } = new();

    /// <summary>Frames that exist but that the allocator never gets, ascending.</summary>
    public IReadOnlyList<(long Start, long End)> ReservedRanges => _reserved;

    /// <summary>The free blocks whose frames are not written yet.</summary>
    public UntouchedBlocks Untouched => Map.Untouched;

    public long Count => Map.Frames;

    /// <summary>Host memory reserved for the page frames, in bytes.</summary>
    public long ReservedBytes => Map.ReservedBytes;

    public long Length => Map.Length;

    public ref PageFrame FrameOf(int pfn)
    {
        _machine.ThrowIfDisposed();
        return ref _frames[pfn];
    }

    /// <summary>As <see cref="FrameArray.Named"/>.</summary>
    public ref PageFrame FrameNamed(int pfn)
    {
        _machine.ThrowIfDisposed();
        return ref _frames.Named(pfn);
    }

    /// <summary>Whether a page is the first of an allocated block of an order, with one reference, in nobody's use: the whole check of a good free.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool MayFree(Page page, int order)
    {
        if (!page.BelongsTo(_machine) || _machine.IsDisposed)
        {
            return false;
        }

        ref PageFrame frame = ref _frames[page.FrameIndex];
        return frame.State == PageFrame.AllocatedState(order) && (uint)order <= PageGeometry.MaxOrder
            && !frame.IsHeldByFlagsOrOwner;
    }

    /// <summary>The frame that carries the state of an allocated page: its own, or its compound page's head.</summary>
    public ref PageFrame OwnedFrame(Page page, string what)
    {
        _machine.ThrowIfDisposed();
        Page head = page.CompoundHead;
        if (_frames[head.FrameIndex].RefCount == 0)
        {
            // Whatever the policy: there is no frame that could be changed without damage.
            throw new KernelBugException(KernelBugKind.NotAllocated, $"BUG: {what} of {page}, which is not allocated", _machine.Bugs.Describe(page), page);
        }

        return ref _frames[head.FrameIndex];
    }

    public void ChangeFlags(Page page, PageFlags set, PageFlags clear)
    {
        const PageFlags allocators = PageFlags.Head | PageFlags.Reserved;
        if (((set | clear) & (allocators | ~PageFlags.StoredMask)) != 0)
        {
            throw new ArgumentException($"{(set | clear) & (allocators | ~PageFlags.StoredMask)} cannot be set: derived from other state, or the allocator's own", nameof(set));
        }

        ref PageFrame frame = ref OwnedFrame(page, "change of page->flags");
        const PageFlags namesList = PageFlags.Lru | PageFlags.Active | PageFlags.Unevictable | PageFlags.SwapBacked;
        if (((set | clear) & namesList) != 0 && frame.Has(PageFlags.Lru) && (frame.Has(PageFlags.Unevictable) || _frames.IsLinked(page.CompoundHead.FrameIndex)))
        {
            // Whatever the policy: the list's other pages would be damaged.
            throw new KernelBugException(KernelBugKind.StillInUse, $"BUG: {(set | clear) & namesList} of {page} would change, which say on which LRU list it is", _machine.Bugs.Describe(page), page);
        }

        frame.Set(set, _parallel);
        _ = frame.Clear(clear, _parallel);
    }

    public void ChangeMapping(Page page, uint mapping, uint index)
    {
        ref PageFrame frame = ref OwnedFrame(page, "set page->mapping");
        if (frame.IsOnLru && PageFrame.IsMovableMapping(mapping))
        {
            // Whatever the policy: migration would isolate it as a page of its list and put it back as a driver's.
            throw new KernelBugException(KernelBugKind.StillInUse, $"BUG: {page} is on an LRU list and would become a page that a driver moves", _machine.Bugs.Describe(page), page);
        }

        frame.Mapping = mapping;
        frame.Index = index;
    }

    public bool IsAllocatedHead(int pfn, int order) => pfn < Map.Frames && MayFree(new Page(_machine, pfn), order);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddReferences(int pfn, int references) => _frames[pfn].AddReferences(references, _parallel);

    /// <summary>Drops a reference unless it is the last: then the page must be freed instead.</summary>
    public bool TryDropReference(int pfn)
    {
        if (_parallel)
        {
            _machine.Interleaver?.Pass("FrameTable.TryDropReference");
        }

        return _frames[pfn].TryDropOneOfSeveralShared();
    }

    /// <summary>Takes a second reference to a single page that has one; fails when it has more.</summary>
    public bool TryMark(int pfn)
    {
        bool single = _frames[pfn] is { IsSinglePage: true, RefCount: 1 };
        if (single)
        {
            AddReferences(pfn, 1);
        }

        return single;
    }

    public void Unmark(int pfn) => AddReferences(pfn, -1);

    public PageFlags FlagsOf(int pfn)
    {
        ref PageFrame frame = ref FrameOf(pfn);
        PageFlags flags = frame.StoredFlags;
        flags |= frame.InSwapCache ? PageFlags.SwapCache : 0;
        flags |= (flags & PageFlags.Reclaim) != 0 && frame.IsDriverMovable ? PageFlags.Isolated : 0;
        flags |= TypeOf(pfn) switch
        {
            PageType.Buddy => PageFlags.Buddy,
            PageType.Table => PageFlags.Table,
            PageType.Guard => PageFlags.Guard,
            PageType.Offline => PageFlags.Offline,
            _ => 0,
        };
        if (CompoundHeadOf(pfn) != pfn)
        {
            flags |= PageFlags.Tail;
        }

        flags |= Idle?.FlagsOf(pfn) ?? 0;
        flags |= Poisoned.Contains(pfn) ? PageFlags.HwPoison : 0;

        return IsReserved(pfn) ? flags | PageFlags.Reserved : flags;
    }

    public PageType TypeOf(int pfn)
    {
        int inverted = FrameOf(pfn).InvertedMapCount & ~PageFrame.PcpFree;
        return inverted > 0 ? (PageType)inverted : PageType.None;
    }

    /// <summary>The kernel's <c>_mapcount</c>: the complement of what is stored; a frame in a per-CPU list has no type.</summary>
    public int RawMapCountOf(int pfn)
    {
        ref PageFrame frame = ref FrameOf(pfn);
        return frame.IsPcp ? -1 : ~frame.InvertedMapCount;
    }

    public (Page Previous, Page Next) LruOf(int pfn)
    {
        ref PageFrame frame = ref FrameOf(pfn);
        bool listed = frame.IsBuddy || frame.IsPcp || frame.IsOnLru;
        return listed ? (Neighbour(frame.Prev), Neighbour(frame.Next)) : default;
    }

    /// <summary>The head of the compound page a frame belongs to, or the frame itself.</summary>
    /// <remarks>Tail pages are not marked: a compound page of any order costs one frame. The head is found by its alignment, at most eleven looks.</remarks>
    public int CompoundHeadOf(int pfn)
    {
        if (FrameOf(pfn).IsInUse)
        {
            return pfn;
        }

        for (int order = 1; order <= PageGeometry.MaxOrder; order++)
        {
            int head = pfn & ~((1 << order) - 1);
            ref PageFrame frame = ref _frames[head];
            if (frame.IsCompoundHead && frame.IsInUse && frame.Order >= order)
            {
                return head;
            }
        }

        return pfn;
    }

    public bool IsReserved(int pfn) => ReservedRange(pfn) is not null;

    /// <summary>The range of frames that the allocator never gets which holds a frame; null when it is in none.</summary>
    public (long Start, long End)? ReservedRange(int pfn)
    {
        int low = 0;
        int high = _reserved.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            (long start, long end) = _reserved[middle];
            if (pfn < start)
            {
                high = middle - 1;
            }
            else if (pfn >= end)
            {
                low = middle + 1;
            }
            else
            {
                return (start, end);
            }
        }

        return null;
    }

    private Page Neighbour(int index)
    {
        if (index >= Map.Frames)
        {
            return default;
        }

        Untouched.Touch(index);
        return new Page(_machine, index);
    }
}
