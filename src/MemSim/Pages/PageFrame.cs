using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemSim.Pages;

/// <summary>The stored form of one page frame (<c>struct page</c>): 32 bytes, all zero while nothing was ever said about the frame.</summary>
/// <remarks>
/// Only the first frame of a block ("head") carries state; the frames inside a free or allocated block have reference count 0 and no type. That makes an
/// allocation or a merge of any order touch a bounded number of frames. Every frame that becomes a head gets its zone number written.
/// </remarks>
[StructLayout(LayoutKind.Sequential, Size = SizeInBytes)]
internal partial struct PageFrame
{
    public const int SizeInBytes = 32;

    /// <summary>Marks a head that lies in a per-CPU list; the kernel shows no page type for these.</summary>
    public const int PcpFree = 0x800;

    public const int BuddyFree = (int)PageType.Buddy;

    /// <summary>One reference in <see cref="_refOrder"/>.</summary>
    private const uint OneReference = 16;

    private const uint OrderMask = OneReference - 1;

    /// <summary>Where the zone's number starts in the word of flags and zone.</summary>
    public const int ZoneShift = 24;

    /// <summary>Flags that no page may have when it is freed (the kernel's <c>PAGE_FLAGS_CHECK_AT_FREE</c>).</summary>
    private const uint CheckAtFree = (uint)(PageFlags.Lru | PageFlags.Locked | PageFlags.Private | PageFlags.Private2 | PageFlags.Writeback | PageFlags.Reserved
        | PageFlags.Slab | PageFlags.Active | PageFlags.Unevictable | PageFlags.Mlocked);

    /// <summary>Page flags in the low 24 bits, the machine's number of the zone in the high 8.</summary>
    private uint _flagsAndZone;

    /// <summary>Free in the buddy lists: the order. In use: the owner's (<c>page->private</c>).</summary>
    public int Private;

    /// <summary>The reference count in the high 28 bits, the order of the block as allocated in the low 4. 0 for a free page.</summary>
    private uint _refOrder;

    /// <summary>The complement of the kernel's <c>_mapcount</c> / <c>page_type</c>, so that 0 is "not mapped, no type".</summary>
    public int InvertedMapCount;

    /// <summary>The next frame in whatever list the page is on; list heads are frames beyond the last.</summary>
    public int Next;

    /// <summary>The previous frame in that list.</summary>
    public int Prev;

    /// <summary>In use: which address space the page belongs to, with the kernel's low bits (1 anonymous, 2 driver-movable). 0: none.</summary>
    public uint Mapping;

    /// <summary>In a free or per-CPU list: the migrate type it is kept under. In use: the page's offset in its mapping.</summary>
    public uint Index;

    public readonly int ZoneId
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (int)(_flagsAndZone >> ZoneShift);
    }

    /// <summary>What a pin adds to the references of a page (<c>GUP_PIN_COUNTING_BIAS</c>).</summary>
    public const int PinBias = 1024;

    /// <summary>Whether somebody may have pinned the page for direct access (<c>folio_maybe_dma_pinned()</c>); so many references look the same.</summary>
    public readonly bool MayBePinned => RefCount >= PinBias;

    public readonly int RefCount => (int)(_refOrder >> 4);

    public readonly int Order => (int)(_refOrder & OrderMask);

    public readonly bool IsBuddy => InvertedMapCount == BuddyFree;

    public readonly bool IsPcp => InvertedMapCount == PcpFree;

    public readonly int MapCount => InvertedMapCount > 0 ? 0 : -InvertedMapCount;

    /// <summary>The word that holds <see cref="_refOrder"/> and <see cref="InvertedMapCount"/>, so that both change in one store.</summary>
    public ulong State
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        readonly get => Unsafe.As<uint, ulong>(ref Unsafe.AsRef(in _refOrder));
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        set => Unsafe.As<uint, ulong>(ref _refOrder) = value;
    }

    /// <summary>One more entry maps the page, and holds it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddMapping()
    {
        Debug.Assert(InvertedMapCount < 0 && RefCount > 0, "it is mapped");
        State += OneReference + (ulong.MaxValue << 32);
    }

    /// <summary>The word that holds the word of flags and zone and <see cref="Private"/>.</summary>
    public ulong Identity
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        readonly get => Unsafe.As<uint, ulong>(ref Unsafe.AsRef(in _flagsAndZone));
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        set => Unsafe.As<uint, ulong>(ref _flagsAndZone) = value;
    }

    /// <summary>The same frame, mostly a list's head, is the next and the previous one: both links in one store.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void LinkBothWays(int other) => Unsafe.As<int, ulong>(ref Next) = (uint)other | ((ulong)(uint)other << 32);

    /// <summary>One order in <see cref="Identity"/>.</summary>
    public const ulong OneOrder = 1UL << 32;

    public const ulong BuddyState = (ulong)BuddyFree << 32;

    public const ulong PcpState = (ulong)PcpFree << 32;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint ZoneBits(int zoneId) => (uint)zoneId << ZoneShift;

    /// <summary>The <see cref="Identity"/> of a free block: no flags, this zone, this order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong FreeIdentity(int zoneId, int order) => ZoneBits(zoneId) | ((ulong)(uint)order << 32);
}
