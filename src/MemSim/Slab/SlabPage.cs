using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemSim.Slab;

/// <summary>What is stored of one slab (<c>struct slab</c>), found by the number of its first frame: a cache line, and behind it the links of a small slab.</summary>
/// <remarks>
/// Objects are numbered from 0. <see cref="Links"/> has one entry an object: <see cref="Allocated"/>, or the next free object of the list it is on, or
/// <see cref="End"/>. So the free lists need no contents of RAM, and a second free of an object is always noticed.
/// </remarks>
[StructLayout(LayoutKind.Sequential, Size = SizeInBytes)]
internal struct SlabPage
{
    public const int SizeInBytes = FieldBytes + 64;

    /// <summary>So many links find room behind the fields; those of larger slabs lie elsewhere.</summary>
    public const int InlineLinks = (SizeInBytes - FieldBytes) / sizeof(ushort);

#if DEBUG
    // The links know how many they are.
    private const int FieldBytes = 72;
#else
    private const int FieldBytes = 64;
#endif

    /// <summary>In <see cref="Links"/>: the object is in use.</summary>
    public const ushort Allocated = 0xffff;

    /// <summary>In <see cref="Links"/> and free list heads: no further object.</summary>
    public const ushort End = 0xfffe;

    /// <summary>In <see cref="Links"/>: the object is part of a bulk free that is under way.</summary>
    public const ushort Leaving = 0xfffd;

    /// <summary>In <see cref="State"/>: the slab belongs to a CPU, as its current slab or in its partial list.</summary>
    public const byte Frozen = 1;

    /// <summary>In <see cref="State"/>: its pages came from the emergency reserves (<c>slab_test_pfmemalloc()</c>).</summary>
    public const byte FromReserves = 4;

    /// <summary>In <see cref="State"/>: a slab of SLUB that is not debugged: its objects may be freed without further ado.</summary>
    public const byte Plain = 8;

    /// <summary>In <see cref="ArrayNode"/>: none.</summary>
    public const ushort NoNode = 0xffff;

    /// <summary>The state of each object.</summary>
    public SlabLinks Links;

    /// <summary>The cache's per-CPU states, one for each CPU; null: no slab starts at this frame.</summary>
    public CpuSlabs Cpus;

    /// <summary>The address of object 0.</summary>
    public ulong Base;

    /// <summary>Bytes from one object to the next.</summary>
    public uint Size;

    /// <summary>2^32 / <see cref="Size"/>, rounded up: exact for whole multiples in blocks of up to 4 MiB.</summary>
    public uint Reciprocal;

    /// <summary>The cache's number in <see cref="SlabAllocator"/>.</summary>
    public int Cache;

    /// <summary>Neighbours in the list the slab is on, by first frame; 0: none. A CPU's partial list uses only Next.</summary>
    public int Next;

    public int Prev;

    // Guards FreeHead, InUse and State (slab_lock).
    public int LockWord;

    public ushort FreeHead;

    /// <summary>Objects that are not on the slab's own free list.</summary>
    public ushort InUse;

    public ushort Objects;

    public byte Order;

    public byte State;

    /// <summary>In a CPU's partial list: slabs from here to the end. The classic SLAB: the colour.</summary>
    public ushort Count;

    public ushort Node;

    /// <summary>1 while on a list of its node; apart from <see cref="State"/>, because another lock covers it.</summary>
    public byte Listed;

    /// <summary>The node whose CPUs put freed objects into their arrays or sheaves; <see cref="NoNode"/> where there are none, and for slabs that are debugged or from the reserves.</summary>
    public ushort ArrayNode;

    /// <summary>The number of the object at an address, and whether one starts exactly there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly bool TryIndex(ulong address, out uint index)
    {
        ulong offset = address - Base;
        index = (uint)((offset * Reciprocal) >> 32);
        return index < Objects && index * Size == offset;
    }

    /// <summary>It is a slab of this cache from now on.</summary>
    public void BelongTo(KmemCache cache)
    {
        Cache = cache.Id;
        Cpus = cache.Cpus;
    }

    /// <summary>Whether it is a slab of a cache.</summary>
    public readonly bool IsOf(KmemCache cache) => Cpus == cache.Cpus;

    public readonly ulong AddressOf(uint index) => Base + (index * Size);

    public static uint ReciprocalOf(uint size) => (uint)Math.Min(((1UL << 32) + size - 1) / size, uint.MaxValue);
}
