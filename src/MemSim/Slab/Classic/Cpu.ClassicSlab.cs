using System.Runtime.CompilerServices;
using MemSim.Slab;

namespace MemSim;

/// <content>The fast paths of the classic SLAB and of SLUB's sheaves: pop from, and push to, the CPU's array of a cache. Caches without arrays never come here.</content>
public sealed unsafe partial class Cpu
{
    /// <summary>Whether all caches have arrays or sheaves, and nobody listens to the slab layer's tracepoints.</summary>
    private bool _arraysReady;

    private int _arraysNode;

    private void UpdateArrays(SlabAllocator slab)
    {
        _arraysNode = Node.Id;
        _arraysReady = _slabReady && (slab.Backend is ClassicSlab || !slab.Rules.HasCpuSlabs);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void KfreeToArray(VirtualAddress obj)
    {
        ulong pfn = (obj.Value - _frameZero) >> PageGeometry.PageShift;
        if (pfn < _slabFrames)
        {
            // Where no slab is, this is the slab of frame 0, which has no objects.
            SlabPage* slab = _slabPages + (uint)_slabHeads[pfn];
            if (TryPushArray(slab, slab->Cpus + Id, obj.Value))
            {
                return;
            }
        }

        // A jump, not a call: so the good case needs no stack frame.
        KfreeChecked(obj);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeToArray(KmemCache cache, CpuSlab* c, VirtualAddress obj)
    {
        ulong pfn = (obj.Value - _frameZero) >> PageGeometry.PageShift;
        if (pfn < _slabFrames)
        {
            SlabPage* slab = _slabPages + (uint)_slabHeads[pfn];
            if (slab->Cpus + Id == c && TryPushArray(slab, c, obj.Value))
            {
                return;
            }
        }

        FreeChecked(cache, obj);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void KfreeChecked(VirtualAddress obj) => Machine.Slab.Kfree(this, obj);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeChecked(KmemCache cache, VirtualAddress obj) => Machine.Slab.Free(this, cache, obj);

    /// <summary>Puts an object into the CPU's array of its cache (there is one where the slab names a node), if it is an allocated one of this node and there is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryPushArray(SlabPage* slab, CpuSlab* c, ulong address)
    {
        ulong offset = address - slab->Base;
        uint index = (uint)((offset * slab->Reciprocal) >> 32);
        if (index >= slab->Objects || index * slab->Size != offset || slab->ArrayNode != _arraysNode)
        {
            return false;
        }

        ushort* link = slab->Links.At(index);
        ArrayCache* array = c->Array;
        if (*link != SlabPage.Allocated || array->Avail == array->Limit)
        {
            return false;
        }

        ArrayCache.Push(array, address, link);
        return true;
    }
}
