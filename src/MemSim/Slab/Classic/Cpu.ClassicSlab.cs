using System.Runtime.CompilerServices;
using MemSim.Slab;

namespace MemSim;

/// <content>The classic SLAB's fast paths: pop from, and push to, the CPU's array of a cache. Tried when SLUB's find nothing, which with the classic SLAB is always.</content>
public sealed unsafe partial class Cpu
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryKmallocFromArray(long size, Gfp gfp, out VirtualAddress obj)
    {
        if (_slabReady && !IsSpecial && (ulong)size <= SlabAllocator.KmallocMaxCached && (gfp & SlowKmalloc) == 0)
        {
            // In range as in Kmalloc.
            return TryPopArray(_kmalloc[_kmallocIndex[(uint)(size + 7) >> 3]]->Array, out obj);
        }

        obj = default;
        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryAllocFromArray(KmemCache cache, Gfp gfp, out VirtualAddress obj)
    {
        if (_slabReady && !IsSpecial && (gfp & SlowAlloc) == 0 && ReferenceEquals(cache.Machine, Machine))
        {
            return TryPopArray(cache.Cpus[Id].Array, out obj);
        }

        obj = default;
        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryPopArray(ArrayCache* array, out VirtualAddress obj)
    {
        if (array != null && array->Avail != 0)
        {
            obj = new VirtualAddress(ArrayCache.Pop(array));
            return true;
        }

        obj = default;
        return false;
    }

    /// <summary>Puts an object into the CPU's array of its cache, if it is an allocated one of this node and there is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryFreeToArray(ulong address, CpuSlab* cache)
    {
        ulong pfn = (address - _frameZero) >> PageGeometry.PageShift;
        if (!_slabReady || pfn >= _slabFrames)
        {
            return false;
        }

        int head = _slabHeads[pfn];
        SlabPage* slab = _slabPages + (uint)head;
        if (head == 0 || slab->Node != Node.Id || (cache != null && slab->Cpus != cache))
        {
            return false;
        }

        ArrayCache* array = slab->Cpus[Id].Array;
        if (array == null || array->Avail == array->Limit)
        {
            return false;
        }

        ulong offset = address - slab->Base;
        uint index = (uint)((offset * slab->Reciprocal) >> 32);
        if (index >= slab->Objects || index * slab->Size != offset || slab->Links[index] != SlabPage.Allocated)
        {
            return false;
        }

        ArrayCache.Push(array, address, slab->Links + index);
        return true;
    }
}
