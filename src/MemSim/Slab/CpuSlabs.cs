using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>The CPUs' states of a cache, by CPU number; or those from some CPU's on, so that fast paths find its own at once.</summary>
/// <remarks>
/// In range by construction: <see cref="SlabMemory.TakeCpuSlabs"/> makes a state for every CPU of the machine, in memory that lives as long as the machine, and a CPU's number is its place among
/// them. A state knows how many there are from it on (<see cref="CpuSlab.Count"/>); the Debug build looks at every number.
/// </remarks>
internal readonly unsafe struct CpuSlabs(CpuSlab* first) : IHostView, IEquatable<CpuSlabs>
{
    private readonly CpuSlab* _first = first;

    /// <summary>The first one.</summary>
    public ref CpuSlab First
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref *_first;
    }

    /// <summary>The state of a CPU.</summary>
    public ref CpuSlab this[int cpu]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            Debug.Assert((uint)cpu < (uint)_first->Count, "a CPU of the machine");
            return ref _first[cpu];
        }
    }

    public static bool operator ==(CpuSlabs left, CpuSlabs right) => left._first == right._first;

    public static bool operator !=(CpuSlabs left, CpuSlabs right) => left._first != right._first;

    /// <summary>The states from a CPU's on. Of none (no slab starts at a frame) it is a place that nobody looks at: such a slab has no objects.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public CpuSlabs From(int cpu)
    {
        Debug.Assert(_first == null || (uint)cpu < (uint)_first->Count, "a CPU of the machine");
        return new CpuSlabs(_first + cpu);
    }

    public bool Equals(CpuSlabs other) => _first == other._first;

    public override bool Equals(object? obj) => obj is CpuSlabs other && Equals(other);

    public override int GetHashCode() => ((nint)_first).GetHashCode();
}

/// <summary>A CPU's current slab of a cache (<c>struct kmem_cache_cpu</c>), one cache line. What an allocation that finds memory at once looks at.</summary>
/// <remarks>Without a current slab <see cref="Bytes"/> is 0 and <see cref="FreeHead"/> is <see cref="SlabPage.End"/>; so for ever for caches that are debugged, and for the classic SLAB's.</remarks>
[StructLayout(LayoutKind.Sequential, Size = SizeInBytes)]
internal struct CpuSlab
{
    public const int SizeInBytes = 64;

    /// <summary>The address of object 0 of the current slab.</summary>
    public ulong Base;

    public SlabLinks Links;

    /// <summary>Bytes of all objects of the current slab; 0 without one.</summary>
    public uint Bytes;

    public uint Size;

    public uint Reciprocal;

    /// <summary>The first free object: the CPU's own free list of the current slab.</summary>
    public uint FreeHead;

    /// <summary>The first frame of the current slab; 0: none.</summary>
    public int Slab;

    /// <summary>The first slab of the CPU's partial list; 0: none.</summary>
    public int Partial;

    public int Cache;

    /// <summary>How many states of CPUs there are from this one on.</summary>
    public int Count;

    /// <summary>The classic SLAB's array of free objects, or SLUB's main sheaf; null for caches without.</summary>
    public ArrayCache Array;
}
