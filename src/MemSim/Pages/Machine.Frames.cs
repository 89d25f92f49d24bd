using System.Runtime.CompilerServices;
using MemSim.Pages;

namespace MemSim;

/// <content>Page frames: handles, addresses, what a frame is part of.</content>
public sealed partial class Machine
{
    /// <summary>How frame numbers lead to page frames.</summary>
    internal MemoryModel MemoryModel { get; }

    private readonly MemMap _memMap;
    private readonly FrameArray _frames;
    private readonly List<(long Start, long End)> _reserved;
    private readonly long _directMapEndPfn;
    private readonly ulong _directMapPhysicalBase;

    /// <summary>The first address of the direct map of physical memory.</summary>
    internal VirtualAddress DirectMapStart => new(Architecture.PageOffset);

    /// <summary>The address after the last one of the direct map.</summary>
    internal VirtualAddress DirectMapEnd => new(Architecture.PageOffset + ((ulong)_directMapEndPfn << PageGeometry.PageShift) - _directMapPhysicalBase);

    internal FrameArray Frames => _frames;

    /// <summary>What <c>page->mapping</c> can point at.</summary>
    internal MappingTable Mappings { get; } = new();

    /// <summary>Frames that exist but that the allocator never gets, ascending.</summary>
    internal IReadOnlyList<(long Start, long End)> ReservedRanges => _reserved;

    internal long FrameCount => _memMap.Frames;

    /// <summary>Host memory reserved for the page frames, in bytes.</summary>
    internal long MemMapBytes => _memMap.ReservedBytes;

    internal long FrameArrayLength => _memMap.Length;

    /// <summary>The physical address behind an address of the direct map (<c>__pa()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <exception cref="ArgumentOutOfRangeException">The address is not in the direct map.</exception>
    internal PhysicalAddress ToPhysical(VirtualAddress address) =>
        address.Value >= Architecture.PageOffset && address.Value < DirectMapEnd.Value
            ? new PhysicalAddress(address.Value - Architecture.PageOffset + _directMapPhysicalBase)
            : throw new ArgumentOutOfRangeException(nameof(address), address, $"not in the direct map ({DirectMapStart} to {DirectMapEnd})");

    /// <summary>The direct-map address of a physical address (<c>__va()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <exception cref="ArgumentOutOfRangeException">The memory there is not permanently mapped.</exception>
    internal VirtualAddress ToVirtual(PhysicalAddress address)
    {
        ulong end = (ulong)_directMapEndPfn << PageGeometry.PageShift;
        return address.Value >= _directMapPhysicalBase && address.Value < end
            ? new VirtualAddress(address.Value - _directMapPhysicalBase + Architecture.PageOffset)
            : throw new ArgumentOutOfRangeException(nameof(address), address, "high memory and addresses beyond RAM have no place in the direct map");
    }

    internal ref PageFrame FrameOf(int pfn)
    {
        ThrowIfDisposed();
        return ref _frames[pfn];
    }

    /// <summary>Whether a page is the first of an allocated block of an order, with one reference, in nobody's use: the whole check of a good free.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool MayFree(Page page, int order)
    {
        if (!page.BelongsTo(this) || _disposed)
        {
            return false;
        }

        ref PageFrame frame = ref _frames[page.FrameIndex];
        return frame.State == (PageFrame.OneReference | (uint)order) && (uint)order <= PageGeometry.MaxOrder
            && !frame.IsHeldByFlagsOrOwner;
    }

    /// <summary>The frame that carries the state of an allocated page: its own, or its compound page's head.</summary>
    internal ref PageFrame OwnedFrame(Page page, string what)
    {
        ThrowIfDisposed();
        Page head = page.CompoundHead;
        if (_frames[head.FrameIndex].RefCount == 0)
        {
            // Whatever the policy: there is no frame that could be changed without damage.
            throw new KernelBugException(KernelBugKind.NotAllocated, $"BUG: {what} of {page}, which is not allocated", Bugs.Describe(page), page);
        }

        return ref _frames[head.FrameIndex];
    }

    internal void ChangeFlags(Page page, PageFlags set, PageFlags clear)
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
            throw new KernelBugException(KernelBugKind.StillInUse, $"BUG: {(set | clear) & namesList} of {page} would change, which say on which LRU list it is", Bugs.Describe(page), page);
        }

        frame.Set(set, _parallel);
        _ = frame.Clear(clear, _parallel);
    }

    internal bool IsAllocatedHead(int pfn, int order) => pfn < _memMap.Frames && MayFree(new Page(this, pfn), order);

    internal void AddReferences(int pfn, int references)
    {
        uint change = (uint)(references * (int)PageFrame.OneReference);
        if (_parallel)
        {
            Interlocked.Add(ref _frames[pfn].RefOrder, change);
        }
        else
        {
            _frames[pfn].RefOrder += change;
        }
    }

    /// <summary>Drops a reference unless it is the last: then the page must be freed instead.</summary>
    internal bool TryDropReference(int pfn)
    {
        ref uint word = ref _frames[pfn].RefOrder;
        uint seen = Volatile.Read(ref word);
        while (seen >= 2 * PageFrame.OneReference)
        {
            // Two CPUs may drop the last two references at once: exactly one of them must find that its own is the last.
            uint found = Interlocked.CompareExchange(ref word, seen - PageFrame.OneReference, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }

        return false;
    }

    /// <summary>Takes a second reference to a single page that has one; fails when it has more.</summary>
    internal bool TryMark(int pfn)
    {
        bool single = _frames[pfn].RefOrder == PageFrame.OneReference;
        if (single)
        {
            AddReferences(pfn, 1);
        }

        return single;
    }

    internal void Unmark(int pfn) => AddReferences(pfn, -1);

    /// <summary>Where pages of high memory are mapped; null where there is no such memory.</summary>
    internal IHighAddresses? HighAddresses { get; private set; }

    internal VirtualAddress AddressOf(int pfn) =>
        pfn < _directMapEndPfn ? new VirtualAddress(Architecture.PageOffset + ((ulong)pfn << PageGeometry.PageShift) - _directMapPhysicalBase) : HighAddresses?.Find(pfn) ?? default;

    internal PageFlags FlagsOf(int pfn)
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

        return IsReserved(pfn) ? flags | PageFlags.Reserved : flags;
    }

    internal PageType TypeOf(int pfn)
    {
        int inverted = FrameOf(pfn).InvertedMapCount & ~PageFrame.PcpFree;
        return inverted > 0 ? (PageType)inverted : PageType.None;
    }

    /// <summary>The kernel's <c>_mapcount</c>: the complement of what is stored; a frame in a per-CPU list has no type.</summary>
    internal int RawMapCountOf(int pfn)
    {
        ref PageFrame frame = ref FrameOf(pfn);
        return frame.IsPcp ? -1 : ~frame.InvertedMapCount;
    }

    internal (Page Previous, Page Next) LruOf(int pfn)
    {
        ref PageFrame frame = ref FrameOf(pfn);
        bool listed = frame.IsBuddy || frame.IsPcp || frame.IsOnLru;
        return listed ? (Neighbour(frame.Prev), Neighbour(frame.Next)) : default;
    }

    /// <summary>The head of the compound page a frame belongs to, or the frame itself.</summary>
    /// <remarks>Tail pages are not marked: a compound page of any order costs one frame. The head is found by its alignment, at most eleven looks.</remarks>
    internal int CompoundHeadOf(int pfn)
    {
        if (FrameOf(pfn).RefOrder != 0)
        {
            return pfn;
        }

        for (int order = 1; order <= PageGeometry.MaxOrder; order++)
        {
            int head = pfn & ~((1 << order) - 1);
            ref PageFrame frame = ref _frames[head];
            if (frame.IsCompoundHead && frame.RefOrder != 0 && frame.Order >= order)
            {
                return head;
            }
        }

        return pfn;
    }

    internal bool IsReserved(int pfn)
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
                return true;
            }
        }

        return false;
    }

    private Page Neighbour(int index) => index < _memMap.Frames ? new Page(this, index) : default;
}
