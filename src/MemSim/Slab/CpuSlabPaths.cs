using System.Runtime.CompilerServices;
using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>
/// A CPU's shortest ways through the slab layer: they work on <see cref="CpuSlab"/> and, where caches have arrays or sheaves, on <see cref="ArrayCache"/>; everything else goes through
/// <see cref="SlabAllocator"/>. Part of the CPU itself, so that hot paths reach it in one step.
/// </summary>
internal struct CpuSlabPaths
{
    /// <summary>Flags that the fast paths do not serve: contents to clear, other kinds of kmalloc memory, what is not allowed at all.</summary>
    private const Gfp SlowKmalloc = SlowAlloc | Gfp.Dma | Gfp.Reclaimable | Gfp.Account;

    private const Gfp SlowAlloc = Gfp.Zero | Gfp.HighMem | Gfp.Dma32 | ~Gfp.BitsMask;

    /// <summary>Whether all caches have arrays or sheaves, and nobody listens to the slab layer's tracepoints.</summary>
    private bool _arraysReady;

    private int _arraysNode;

    /// <summary>The state of the cache last used here: most frees go to its current slab.</summary>
    private CpuSlabs _hot;

    private HostTable<CpuSlabs> _kmalloc;
    private HostTable<byte> _kmallocIndex;
    private HostTable<int> _slabHeads;
    private HostTable<SlabPage> _slabPages;
    private ulong _slabFrames;
    private ulong _frameZero;
    private SlabCpuTables? _slabTables;
    private Slub? _slub;

    /// <summary>As <see cref="Cpu.Kmalloc"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VirtualAddress Kmalloc(Cpu cpu, long size, Gfp gfp)
    {
        if (cpu.SlabReady && !cpu.IsSpecial && (ulong)size <= SlabAllocator.KmallocMaxCached && (gfp & SlowKmalloc) == 0)
        {
            // In range: the index table has an entry for each size up to the largest, the pointer table one for each index.
            CpuSlabs found = _kmalloc[(uint)_kmallocIndex[(uint)(size + 7) >> 3]];
            ref CpuSlab c = ref found.First;
            if (c.FreeHead != SlabPage.End)
            {
                _hot = found;
                return new VirtualAddress(Slub.Pop(ref c));
            }

            ArrayCache array = c.Array;
            if (!array.IsNull && array.Avail != 0)
            {
                return new VirtualAddress(array.Pop());
            }
        }

        return KmallocSlow(cpu, size, gfp);
    }

    /// <summary>As <see cref="Cpu.Alloc"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VirtualAddress Alloc(Cpu cpu, KmemCache cache, Gfp gfp)
    {
        if (cpu.SlabReady && !cpu.IsSpecial && (gfp & SlowAlloc) == 0 && ReferenceEquals(cache?.Machine, cpu.Machine))
        {
            ref CpuSlab c = ref cache.Cpus[cpu.Id];
            if (c.FreeHead != SlabPage.End)
            {
                return new VirtualAddress(Slub.Pop(ref c));
            }

            ArrayCache array = c.Array;
            if (!array.IsNull && array.Avail != 0)
            {
                return new VirtualAddress(array.Pop());
            }
        }

        return AllocSlow(cpu, cache!, gfp);
    }

    /// <summary>As <see cref="Cpu.Kfree"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Kfree(Cpu cpu, VirtualAddress obj)
    {
        CpuSlabs c = _hot;
        if (_arraysReady)
        {
            KfreeToArray(cpu, obj);
            return;
        }

        if (cpu.SlabReady && (obj.Value - c.First.Base < c.First.Bytes || TryFindCurrent(cpu, obj.Value, ref c)) && TryPush(ref c.First, obj.Value))
        {
            return;
        }

        KfreeSlow(cpu, obj);
    }

    /// <summary>As <see cref="Cpu.Free"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Free(Cpu cpu, KmemCache cache, VirtualAddress obj)
    {
        if (cpu.SlabReady && ReferenceEquals(cache?.Machine, cpu.Machine))
        {
            CpuSlabs own = cache.Cpus.From(cpu.Id);
            ref CpuSlab c = ref own.First;
            if (obj.Value - c.Base < c.Bytes && TryPush(ref c, obj.Value))
            {
                return;
            }

            ArrayCache array = c.Array;
            if (!array.IsNull)
            {
                FreeToArray(cpu, cache, own, obj);
                return;
            }
        }

        FreeSlow(cpu, cache!, obj);
    }

    private void UpdateArrays(Cpu cpu, SlabAllocator slab)
    {
        _arraysNode = cpu.Node.Id;
        _arraysReady = cpu.SlabReady && (slab.Backend is ClassicSlab || !slab.Rules.HasCpuSlabs);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void KfreeToArray(Cpu cpu, VirtualAddress obj)
    {
        ulong pfn = (obj.Value - _frameZero) >> PageGeometry.PageShift;
        if (pfn < _slabFrames)
        {
            // Where no slab is, this is the slab of frame 0, which has no objects.
            ref SlabPage slab = ref _slabPages[(uint)_slabHeads[pfn]];
            CpuSlabs all = slab.Cpus;
            if (TryPushArray(ref slab, all.From(cpu.Id), obj.Value))
            {
                return;
            }
        }

        // A jump, not a call: so the good case needs no stack frame.
        KfreeChecked(cpu, obj);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeToArray(Cpu cpu, KmemCache cache, CpuSlabs own, VirtualAddress obj)
    {
        ulong pfn = (obj.Value - _frameZero) >> PageGeometry.PageShift;
        if (pfn < _slabFrames)
        {
            ref SlabPage slab = ref _slabPages[(uint)_slabHeads[pfn]];
            CpuSlabs all = slab.Cpus;
            if (all.From(cpu.Id) == own && TryPushArray(ref slab, own, obj.Value))
            {
                return;
            }
        }

        FreeChecked(cpu, cache, obj);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void KfreeChecked(Cpu cpu, VirtualAddress obj) => cpu.Machine.Slab.Kfree(cpu, obj);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void FreeChecked(Cpu cpu, KmemCache cache, VirtualAddress obj) => cpu.Machine.Slab.Free(cpu, cache, obj);

    /// <summary>Puts an object into the CPU's array of its cache (there is one where the slab names a node), if it is an allocated one of this node and there is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryPushArray(ref SlabPage slab, CpuSlabs own, ulong address)
    {
        ulong offset = address - slab.Base;
        uint index = (uint)((offset * slab.Reciprocal) >> 32);
        if (index >= slab.Objects || index * slab.Size != offset || slab.ArrayNode != _arraysNode)
        {
            return false;
        }

        SlabLinks links = slab.Links;
        SlabLink link = links.At(index);
        ArrayCache array = own.First.Array;
        if (link.State != SlabPage.Allocated || array.Avail == array.Limit)
        {
            return false;
        }

        array.Push(address, link);
        return true;
    }

    /// <summary>Puts an object of the CPU's current slab back on its free list, unless none starts there or it is free.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryPush(ref CpuSlab c, ulong address)
    {
        ulong offset = address - c.Base;
        uint index = (uint)((offset * c.Reciprocal) >> 32);
        if (index * c.Size != offset)
        {
            return false;
        }

        SlabLinks links = c.Links;
        ref ushort link = ref links[index];
        if (link != SlabPage.Allocated)
        {
            return false;
        }

        link = (ushort)c.FreeHead;
        c.FreeHead = index;
        return true;
    }

    /// <summary>Whether an address lies in the objects of this CPU's current slab of some cache, and of which.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryFindCurrent(Cpu cpu, ulong address, ref CpuSlabs current)
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

        CpuSlabs c = _slabPages[(uint)head].Cpus.From(cpu.Id);
        current = c;
        _hot = c;
        return address - c.First.Base < c.First.Bytes;
    }

    public void Attach(Cpu cpu, SlabAllocator slab)
    {
        _slabTables = new SlabCpuTables(slab, cpu);
        _kmalloc = _slabTables.Kmalloc;
        _kmallocIndex = _slabTables.KmallocIndex;
        _hot = _slabTables.Nothing;
        _slabHeads = slab.Memory.Heads;
        _slabPages = slab.Memory.Pages;
        _slabFrames = slab.Memory.Frames;
        _frameZero = slab.Memory.FrameZero;
        _slub = slab.Backend as Slub;
        cpu.SlabReady = slab.Trace is null && !cpu.Machine.Hooks.ZeroesMemory;
        UpdateArrays(cpu, slab);
    }

    /// <summary>Closes the fast paths: from now on every call comes by the checks, which say that the machine is gone.</summary>
    public void Detach(Cpu cpu)
    {
        cpu.SlabReady = false;
        _arraysReady = false;
    }

    /// <summary>Chooses between the fast paths and the traced ones.</summary>
    public void TraceChanged(Cpu cpu, bool traced)
    {
        cpu.SlabReady = !traced && _slabTables is not null && !cpu.Machine.Hooks.ZeroesMemory;
        UpdateArrays(cpu, cpu.Machine.Slab);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private VirtualAddress KmallocSlow(Cpu cpu, long size, Gfp gfp)
    {
        if (cpu.SlabReady && !cpu.IsSpecial && _slub is { } slub && (ulong)(size - 1) < SlabAllocator.KmallocMaxCached && (gfp & SlowKmalloc) == 0)
        {
            CpuSlabs found = _kmalloc[(uint)_kmallocIndex[(uint)(size + 7) >> 3]];
            ulong address = slub.AllocFromCpu(ref found.First);
            if (address != 0)
            {
                _hot = found;
                return new VirtualAddress(address);
            }
        }

        return cpu.Machine.Slab.Kmalloc(cpu, size, gfp, -1);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private VirtualAddress AllocSlow(Cpu cpu, KmemCache cache, Gfp gfp)
    {
        if (cpu.SlabReady && !cpu.IsSpecial && _slub is { } slub && (gfp & SlowAlloc) == 0 && ReferenceEquals(cache?.Machine, cpu.Machine))
        {
            ulong address = slub.AllocFromCpu(ref cache.Cpus[cpu.Id]);
            if (address != 0)
            {
                return new VirtualAddress(address);
            }
        }

        return cpu.Machine.Slab.Alloc(cpu, cache!, gfp, -1);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void KfreeSlow(Cpu cpu, VirtualAddress obj)
    {
        if (!TryFreePlain(cpu, obj.Value, -1))
        {
            cpu.Machine.Slab.Kfree(cpu, obj);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeSlow(Cpu cpu, KmemCache cache, VirtualAddress obj)
    {
        if (!ReferenceEquals(cache?.Machine, cpu.Machine) || !TryFreePlain(cpu, obj.Value, cache.Id))
        {
            cpu.Machine.Slab.Free(cpu, cache!, obj);
        }
    }

    /// <summary>Frees an object whose slab needs no further look; does nothing where anything is amiss. The fast paths have taken what lies in the CPU's current slab.</summary>
    /// <param name="cpu">The CPU whose ways these are.</param>
    /// <param name="address">The object's address.</param>
    /// <param name="cache">The number of the cache it must belong to, or -1.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryFreePlain(Cpu cpu, ulong address, int cache)
    {
        ulong pfn = (address - _frameZero) >> PageGeometry.PageShift;
        if (!cpu.SlabReady || _slub is not { } slub || pfn >= _slabFrames)
        {
            return false;
        }

        int head = _slabHeads[pfn];
        ref SlabPage slab = ref _slabPages[(uint)head];
        if (head == 0 || (slab.State & SlabPage.Plain) == 0 || (cache >= 0 && slab.Cache != cache))
        {
            return false;
        }

        ulong offset = address - slab.Base;
        uint index = (uint)((offset * slab.Reciprocal) >> 32);
        if (index >= slab.Objects || index * slab.Size != offset || slab.Links[index] != SlabPage.Allocated)
        {
            return false;
        }

        slub.FreePlain(cpu, ref slab, head, index);
        return true;
    }
}
