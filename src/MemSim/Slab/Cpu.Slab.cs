using System.Runtime.CompilerServices;
using MemSim.Slab;

namespace MemSim;

/// <content>The slab layer's calls: kmalloc and its like, and objects of caches. The fast paths work on <see cref="CpuSlab"/>; everything else goes through <see cref="SlabAllocator"/>.</content>
public sealed unsafe partial class Cpu
{
    /// <summary>Flags that the fast paths do not serve: contents to clear, other kinds of kmalloc memory, what is not allowed at all.</summary>
    private const Gfp SlowKmalloc = SlowAlloc | Gfp.Dma | Gfp.Reclaimable | Gfp.Account;

    private const Gfp SlowAlloc = Gfp.Zero | Gfp.HighMem | Gfp.Dma32 | ~Gfp.BitsMask;

    /// <summary>The state of the cache last used here: most frees go to its current slab.</summary>
    private CpuSlab* _hot;

    private CpuSlab** _kmalloc;
    private byte* _kmallocIndex;
    private int* _slabHeads;
    private SlabPage* _slabPages;
    private ulong _slabFrames;
    private ulong _frameZero;
    private SlabCpuTables? _slabTables;
    private Slub? _slub;

    /// <summary>Allocates physically contiguous memory (<c>kmalloc()</c>).</summary>
    /// <param name="size">Bytes; 0 gives <see cref="SlabAllocator.ZeroSizePointer"/>, more than 4 MiB fails.</param>
    /// <param name="gfp">What the allocation may do; <see cref="Gfp.Dma"/>, <see cref="Gfp.Reclaimable"/> and <see cref="Gfp.Account"/> choose the kind of memory.</param>
    /// <returns>The address, aligned to 8 bytes (arm64: 128) and, for powers of two, to the size; the null address when there is no memory.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The size is negative.</exception>
    /// <exception cref="KernelBugException">The flags are not allowed, or the request may sleep and the context may not.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VirtualAddress Kmalloc(long size, Gfp gfp)
    {
        if (_slabReady && !IsSpecial && (ulong)size <= SlabAllocator.KmallocMaxCached && (gfp & SlowKmalloc) == 0)
        {
            // In range: the index table has an entry for each size up to the largest, the pointer table one for each index.
            CpuSlab* c = _kmalloc[_kmallocIndex[(uint)(size + 7) >> 3]];
            if (c->FreeHead != SlabPage.End)
            {
                _hot = c;
                return new VirtualAddress(Slub.Pop(c));
            }

            if (c->Array != null && c->Array->Avail != 0)
            {
                return new VirtualAddress(ArrayCache.Pop(c->Array));
            }
        }

        return KmallocSlow(size, gfp);
    }

    /// <summary>Allocates an object of a cache (<c>kmem_cache_alloc()</c>).</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The object's address; the null address when there is no memory.</returns>
    /// <exception cref="KernelBugException">The cache is gone or another machine's, the flags are not allowed, or the request may sleep and the context may not.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VirtualAddress Alloc(KmemCache cache, Gfp gfp)
    {
        if (_slabReady && !IsSpecial && (gfp & SlowAlloc) == 0 && ReferenceEquals(cache?.Machine, Machine))
        {
            CpuSlab* c = cache.Cpus + Id;
            if (c->FreeHead != SlabPage.End)
            {
                return new VirtualAddress(Slub.Pop(c));
            }

            if (c->Array != null && c->Array->Avail != 0)
            {
                return new VirtualAddress(ArrayCache.Pop(c->Array));
            }
        }

        return AllocSlow(cache!, gfp);
    }

    /// <summary>Frees what <see cref="Kmalloc"/> and its like returned (<c>kfree()</c>).</summary>
    /// <param name="obj">The address; the null address and <see cref="SlabAllocator.ZeroSizePointer"/> are ignored.</param>
    /// <exception cref="KernelBugException">No object starts there, or it is free already. Nothing has changed.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Kfree(VirtualAddress obj)
    {
        CpuSlab* c = _hot;
        if (_arraysReady)
        {
            KfreeToArray(obj);
            return;
        }

        if (_slabReady && (obj.Value - c->Base < c->Bytes || TryFindCurrent(obj.Value, ref c)) && TryPush(c, obj.Value))
        {
            return;
        }

        KfreeSlow(obj);
    }

    /// <summary>Frees an object of a cache (<c>kmem_cache_free()</c>).</summary>
    /// <param name="cache">The cache the object was allocated from.</param>
    /// <param name="obj">The object's address; the null address is ignored.</param>
    /// <exception cref="KernelBugException">No object of this cache starts there, or it is free already. Nothing has changed.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Free(KmemCache cache, VirtualAddress obj)
    {
        if (_slabReady && ReferenceEquals(cache?.Machine, Machine))
        {
            CpuSlab* c = cache.Cpus + Id;
            if (obj.Value - c->Base < c->Bytes && TryPush(c, obj.Value))
            {
                return;
            }

            if (c->Array != null)
            {
                FreeToArray(cache, c, obj);
                return;
            }
        }

        FreeSlow(cache!, obj);
    }

    /// <summary>Puts an object of the CPU's current slab back on its free list, unless none starts there or it is free.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryPush(CpuSlab* c, ulong address)
    {
        ulong offset = address - c->Base;
        uint index = (uint)((offset * c->Reciprocal) >> 32);
        ushort* link = c->Links.At(index);
        if (index * c->Size != offset || *link != SlabPage.Allocated)
        {
            return false;
        }

        *link = (ushort)c->FreeHead;
        c->FreeHead = index;
        return true;
    }

    /// <summary>Whether an address lies in the objects of this CPU's current slab of some cache, and of which.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryFindCurrent(ulong address, ref CpuSlab* current)
    {
        ulong pfn = (address - _frameZero) >> PageGeometry.PageShift;
        if (pfn >= _slabFrames)
        {
            return false;
        }

        int head = _slabHeads[pfn];
        if (head == 0)
        {
            return false;
        }

        CpuSlab* c = _slabPages[(uint)head].Cpus + Id;
        current = c;
        _hot = c;
        return address - c->Base < c->Bytes;
    }

    internal void AttachSlab(SlabAllocator slab)
    {
        _slabTables = new SlabCpuTables(slab, this);
        _kmalloc = _slabTables.Kmalloc;
        _kmallocIndex = _slabTables.KmallocIndex;
        _hot = _slabTables.Nothing;
        _slabHeads = slab.Memory.Heads;
        _slabPages = slab.Memory.Pages;
        _slabFrames = slab.Memory.Frames;
        _frameZero = slab.Memory.FrameZero;
        _slub = slab.Backend as Slub;
        _slabReady = slab.Trace is null && !Machine.Hooks.ZeroesMemory;
        UpdateArrays(slab);
    }

    /// <summary>Closes the fast paths: from now on every call comes by the checks, which say that the machine is gone.</summary>
    internal void DetachSlab()
    {
        _slabReady = false;
        _arraysReady = false;
    }

    /// <summary>Chooses between the fast paths and the traced ones.</summary>
    internal void SlabTraceChanged(bool traced)
    {
        _slabReady = !traced && _slabTables is not null && !Machine.Hooks.ZeroesMemory;
        UpdateArrays(Machine.Slab);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private VirtualAddress KmallocSlow(long size, Gfp gfp)
    {
        if (_slabReady && !IsSpecial && _slub is { } slub && (ulong)(size - 1) < SlabAllocator.KmallocMaxCached && (gfp & SlowKmalloc) == 0)
        {
            CpuSlab* c = _kmalloc[_kmallocIndex[(uint)(size + 7) >> 3]];
            ulong address = slub.AllocFromCpu(c);
            if (address != 0)
            {
                _hot = c;
                return new VirtualAddress(address);
            }
        }

        return Machine.Slab.Kmalloc(this, size, gfp, -1);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private VirtualAddress AllocSlow(KmemCache cache, Gfp gfp)
    {
        if (_slabReady && !IsSpecial && _slub is { } slub && (gfp & SlowAlloc) == 0 && ReferenceEquals(cache?.Machine, Machine))
        {
            ulong address = slub.AllocFromCpu(cache.Cpus + Id);
            if (address != 0)
            {
                return new VirtualAddress(address);
            }
        }

        return Machine.Slab.Alloc(this, cache!, gfp, -1);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void KfreeSlow(VirtualAddress obj)
    {
        if (!TryFreePlain(obj.Value, -1))
        {
            Machine.Slab.Kfree(this, obj);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeSlow(KmemCache cache, VirtualAddress obj)
    {
        if (!ReferenceEquals(cache?.Machine, Machine) || !TryFreePlain(obj.Value, cache.Id))
        {
            Machine.Slab.Free(this, cache!, obj);
        }
    }

    /// <summary>Frees an object whose slab needs no further look; does nothing where anything is amiss. The fast paths have taken what lies in the CPU's current slab.</summary>
    /// <param name="address">The object's address.</param>
    /// <param name="cache">The number of the cache it must belong to, or -1.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryFreePlain(ulong address, int cache)
    {
        ulong pfn = (address - _frameZero) >> PageGeometry.PageShift;
        if (!_slabReady || _slub is not { } slub || pfn >= _slabFrames)
        {
            return false;
        }

        int head = _slabHeads[pfn];
        SlabPage* slab = _slabPages + (uint)head;
        if (head == 0 || (slab->State & SlabPage.Plain) == 0 || (cache >= 0 && slab->Cache != cache))
        {
            return false;
        }

        ulong offset = address - slab->Base;
        uint index = (uint)((offset * slab->Reciprocal) >> 32);
        if (index >= slab->Objects || index * slab->Size != offset || slab->Links[index] != SlabPage.Allocated)
        {
            return false;
        }

        slub.FreePlain(this, slab, head, index);
        return true;
    }
}
