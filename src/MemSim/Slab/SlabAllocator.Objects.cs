using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.Slab;

namespace MemSim;

/// <content>The checked ways in: what the fast paths on <see cref="Cpu"/> do not serve.</content>
public sealed partial class SlabAllocator
{
    private readonly SlabTracepoints _tracepoints = new();

    /// <summary>The tracepoints when somebody listens, else null: what hot paths test.</summary>
    internal SlabTracepoints? Trace { get; private set; }

    internal CpuSlabs Nothing { get; private set; }

    /// <summary>In a copy of the layer the state of no cache is another one.</summary>
    internal void ReopenTables() => Nothing = Memory.TakeCpuSlabs(1);

    /// <summary>Attaches a receiver of the slab layer's tracepoints, or several after one another.</summary>
    /// <param name="sink">The receiver.</param>
    internal void AttachTrace(ISlabTraceSink sink) => _tracepoints.Attach(sink);

    /// <summary>Detaches a receiver; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    internal void DetachTrace(ISlabTraceSink sink) => _tracepoints.Detach(sink);

    /// <summary>The checked kmalloc; the call site is named where the slab layer itself asks.</summary>
    internal VirtualAddress Kmalloc(Cpu cpu, long size, Gfp gfp, int node, string? callSite = null)
    {
        Machine.ThrowIfDisposed();
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        if (size == 0)
        {
            TraceKmalloc(cpu, ZeroSizePointer, 0, 0, gfp, node);
            return ZeroSizePointer;
        }

        if (!MayAllocate(cpu, gfp, "kmalloc"))
        {
            return default;
        }

        ulong address;
        long given;
        if (size > KmallocMaxCached)
        {
            // No object of a cache: only the page allocator can refuse it.
            address = LargeObjects.Allocate(cpu, this, size, gfp, node);
            given = (long)PageGeometry.PageSize << SlabRules.OrderOf(Math.Min(size, SlabRules.MaxSize));
        }
        else
        {
            KmemCache cache = KmallocCache(size, gfp);
            given = cache.Size;
            address = Fails(cpu, cache, gfp) ? 0 : Take(cpu, cache, gfp, node);
        }

        VirtualAddress result = new(address);
        if (address != 0 && size <= KmallocMaxCached && DebugOptions.Tracks)
        {
            Debug.NoteRequested(address, (int)size);
        }

        TraceKmalloc(cpu, result, size, given, gfp, node, callSite);
        return result;
    }

    internal VirtualAddress Alloc(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        if (!IsUsable(cpu, cache, "kmem_cache_alloc") || !MayAllocate(cpu, gfp, "kmem_cache_alloc"))
        {
            return default;
        }

        if (cache.Constructor is not null && (gfp & Gfp.Zero) != 0)
        {
            RefuseZeroing(cpu, cache, gfp);
            return default;
        }

        VirtualAddress result = new(Fails(cpu, cache, gfp) ? 0 : Take(cpu, cache, gfp, node));
        Trace?.KmemCacheAlloc(cpu, cpu.CurrentCallSite, result, cache, gfp, node);
        return result;
    }

    internal void Kfree(Cpu cpu, VirtualAddress obj)
    {
        Machine.ThrowIfDisposed();
        Machine.CpuTable.RefuseReentry();
        using Callouts.OperationScope operation = Machine.Callouts.Enter();
        Trace?.Kfree(cpu, cpu.CurrentCallSite, obj);
        if (obj.Value <= ZeroSizePointer.Value)
        {
            return;
        }

        int head = Memory.SlabAt(obj.Value);
        if (head != 0)
        {
            Give(cpu, CacheOf(Memory[head].Cache), head, obj, "kfree");
            return;
        }

        ulong pfn = (obj.Value - Memory.FrameZero) >> PageGeometry.PageShift;
        if (pfn < Memory.Frames && LargeObjects.Is(Machine, (int)pfn) && (obj.Value & (PageGeometry.PageSize - 1)) == 0)
        {
            LargeObjects.Free(cpu, this, (int)pfn);
            return;
        }

        Debug.NotAnObject(cpu, obj, "kfree");
    }

    /// <summary>Frees what the slab layer has for itself, in the middle of another call.</summary>
    internal void FreeOwn(Cpu cpu, VirtualAddress obj, string callSite)
    {
        Trace?.Kfree(cpu, callSite, obj);
        int head = Memory.SlabAt(obj.Value);
        if (head != 0)
        {
            Give(cpu, CacheOf(Memory[head].Cache), head, obj, "kfree");
        }
        else
        {
            LargeObjects.Free(cpu, this, (int)((obj.Value - Memory.FrameZero) >> PageGeometry.PageShift));
        }
    }

    internal void Free(Cpu cpu, KmemCache cache, VirtualAddress obj)
    {
        Machine.ThrowIfDisposed();
        ArgumentNullException.ThrowIfNull(cache);
        if (obj.IsNull || !IsUsable(cpu, cache, "kmem_cache_free"))
        {
            return;
        }

        Machine.CpuTable.RefuseReentry();
        using Callouts.OperationScope operation = Machine.Callouts.Enter();

        Trace?.KmemCacheFree(cpu, cpu.CurrentCallSite, obj, cache);
        int head = Memory.SlabAt(obj.Value);
        if (head == 0)
        {
            Debug.NotAnObject(cpu, obj, "kmem_cache_free");
        }
        else if (Memory[head].Cache != cache.Id)
        {
            Debug.WrongCache(cpu, cache, CacheOf(Memory[head].Cache), obj);
        }
        else
        {
            Give(cpu, cache, head, obj, "kmem_cache_free");
        }
    }

    /// <summary>Allocates several objects; all or none.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal int AllocBulk(Cpu cpu, KmemCache cache, Gfp gfp, Span<VirtualAddress> objects)
    {
        if (!IsUsable(cpu, cache, "kmem_cache_alloc_bulk") || !MayAllocate(cpu, gfp, "kmem_cache_alloc_bulk"))
        {
            return 0;
        }

        if (cache.Constructor is not null && (gfp & Gfp.Zero) != 0)
        {
            RefuseZeroing(cpu, cache, gfp);
            return 0;
        }

        if (Fails(cpu, cache, gfp))
        {
            return 0;
        }

        int got = Backend.AllocBulk(cpu, cache, gfp & ~Gfp.Zero, objects);
        if (got < objects.Length)
        {
            Backend.GiveBackBulk(cpu, cache, objects[..got]);
            return 0;
        }

        bool zeroes = ZeroesNew(cache, gfp);
        for (int i = 0; i < got && (zeroes || Trace is not null); i++)
        {
            if (zeroes)
            {
                SlabContents.Fill(Machine, objects[i].Value, cache.ObjectSize, 0);
            }

            Trace?.KmemCacheAlloc(cpu, cpu.CurrentCallSite, objects[i], cache, gfp, -1);
        }

        return got;
    }

    /// <summary>Frees several objects, all of one cache, or of any caches when none is named; nothing is freed when one of them cannot be.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void FreeBulk(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects)
    {
        Machine.ThrowIfDisposed();
        if (objects.IsEmpty || !IsUsable(cpu, cache, "kmem_cache_free_bulk"))
        {
            return;
        }

        if (Trace is null && Backend.TryFreeBulk(cpu, cache, objects))
        {
            return;
        }

        FreeBulkCarefully(cpu, cache, objects);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeBulkCarefully(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects)
    {
        int marked = MarkLeaving(cache, objects);
        if (marked < objects.Length)
        {
            VirtualAddress bad = objects[marked];
            foreach (VirtualAddress obj in objects[..marked])
            {
                ref SlabPage slab = ref Memory[Memory.SlabAt(obj.Value)];
                _ = slab.TryIndex(obj.Value, out uint index);
                slab.Links[index] = SlabPage.Allocated;
            }

            RefuseFree(cpu, cache, bad, "kmem_cache_free_bulk", objects[..marked].Contains(bad));
            return;
        }

        if (Trace is not null)
        {
            foreach (VirtualAddress obj in objects)
            {
                Trace.KmemCacheFree(cpu, cpu.CurrentCallSite, obj, cache);
            }
        }

        if (ZeroesFreed(cache))
        {
            foreach (VirtualAddress obj in objects)
            {
                SlabContents.Fill(Machine, obj.Value, cache.ObjectSize, 0);
            }
        }

        Backend.FreeBulk(cpu, cache, objects);
    }

    /// <summary>Marks objects of a bulk free, so that one named twice is noticed before anything happens.</summary>
    /// <returns>How many from the start on are good.</returns>
    private int MarkLeaving(KmemCache cache, ReadOnlySpan<VirtualAddress> objects)
    {
        SlabLinks links = default;
        ulong bytes = 0;
        ulong start = 0;
        uint size = 0;
        uint reciprocal = 0;
        for (int i = 0; i < objects.Length; i++)
        {
            ulong offset = objects[i].Value - start;
            if (offset >= bytes)
            {
                int head = Memory.SlabAt(objects[i].Value);
                ref SlabPage slab = ref Memory[head];
                if (head == 0 || slab.Cache != cache.Id)
                {
                    return i;
                }

                start = slab.Base;
                size = slab.Size;
                bytes = slab.Objects * size;
                reciprocal = slab.Reciprocal;
                links = slab.Links;
                offset = objects[i].Value - start;
                if (offset >= bytes)
                {
                    return i;
                }
            }

            uint index = (uint)((offset * reciprocal) >> 32);
            if (index * size != offset || links[index] != SlabPage.Allocated)
            {
                return i;
            }

            links[index] = SlabPage.Leaving;
        }

        return objects.Length;
    }

    /// <summary>Whether a new object is zeroed (<c>slab_want_init_on_alloc()</c>): not behind a constructor's back, nor where readers may still look at an old object.</summary>
    private bool ZeroesNew(KmemCache cache, Gfp gfp) =>
        (gfp & Gfp.Zero) != 0 || (Machine.Hooks.ZeroesOnAlloc && ZeroesFreely(cache));

    /// <summary>Whether an object is zeroed when it is freed (<c>slab_want_init_on_free()</c>).</summary>
    private bool ZeroesFreed(KmemCache cache) => Machine.Hooks.ZeroesOnFree && ZeroesFreely(cache);

    private static bool ZeroesFreely(KmemCache cache) => cache.Constructor is null && (cache.Flags & (SlabFlags.TypesafeByRcu | SlabFlags.Poison)) == 0;

    private ulong Take(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        ref CpuSlab c = ref cache.Cpus[cpu.Id];
        ulong address = c.FreeHead != SlabPage.End && (node < 0 || Memory[c.Slab].Node == node) ? Slub.Pop(ref c) : Backend.Alloc(cpu, cache, gfp & ~Gfp.Zero, node);
        if (address == 0)
        {
            NoteFailure(cpu, cache, gfp, node);
        }
        else if (ZeroesNew(cache, gfp))
        {
            SlabContents.Fill(Machine, address, cache.ObjectSize, 0);
        }

        return address;
    }

    private void Give(Cpu cpu, KmemCache cache, int head, VirtualAddress obj, string what)
    {
        ref SlabPage slab = ref Memory[head];
        if (slab.TryIndex(obj.Value, out uint index) && slab.Links[index] == SlabPage.Allocated)
        {
            if (ZeroesFreed(cache))
            {
                SlabContents.Fill(Machine, obj.Value, cache.ObjectSize, 0);
            }

            Backend.Free(cpu, cache, head, index);
        }
        else
        {
            RefuseFree(cpu, cache, obj, what, twice: false);
        }
    }

    private void RefuseFree(Cpu cpu, KmemCache cache, VirtualAddress obj, string what, bool twice)
    {
        int head = Memory.SlabAt(obj.Value);
        if (head == 0)
        {
            Debug.NotAnObject(cpu, obj, what);
        }
        else if (Memory[head].Cache != cache.Id)
        {
            Debug.WrongCache(cpu, cache, CacheOf(Memory[head].Cache), obj);
        }
        else if (!twice && !Memory[head].TryIndex(obj.Value, out _))
        {
            Debug.InvalidObject(cpu, cache, head, obj, what);
        }
        else
        {
            Debug.DoubleFree(cpu, cache, head, obj, what);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RefuseZeroing(Cpu cpu, KmemCache cache, Gfp gfp) =>
        Machine.Bugs.IllegalFlags(cpu, gfp, $"the cache {cache.Name} has a constructor: zeroing an object would undo its work");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RefuseFlags(Cpu cpu, Gfp gfp, string what) =>
        Machine.Bugs.IllegalFlags(cpu, gfp, $"Unexpected gfp in {what}: slab memory has a permanent address, and only a cache of its own takes pages from ZONE_DMA32");

    /// <summary>Checks a request's flags and context.</summary>
    private bool MayAllocate(Cpu cpu, Gfp gfp, string what)
    {
        Machine.ThrowIfDisposed();
        if ((gfp & (Gfp.HighMem | Gfp.Dma32 | ~Gfp.BitsMask)) != 0)
        {
            RefuseFlags(cpu, gfp, what);
            return false;
        }

        return (!cpu.IsSpecial && !Machine.Callouts.IsInUserCode) || Machine.Bugs.CheckRequest(cpu, gfp, 0);
    }

    /// <summary>Whether a request for objects is made to fail (<c>should_failslab()</c>).</summary>
    private bool Fails(Cpu cpu, KmemCache cache, Gfp gfp) => Machine.Hooks.FaultInjector.FailsObjects(cpu, gfp, cache.Name, cache.ObjectSize);

    private void TraceKmalloc(Cpu cpu, VirtualAddress ptr, long requested, long given, Gfp gfp, int node, string? callSite = null)
    {
        if (Trace is not null && node < 0)
        {
            Trace.Kmalloc(cpu, callSite ?? cpu.CurrentCallSite, ptr, requested, ptr.IsNull ? 0 : given, gfp, node);
        }
        else
        {
            Trace?.KmallocNode(cpu, cpu.CurrentCallSite, ptr, requested, ptr.IsNull ? 0 : given, gfp, node);
        }
    }

    private void UpdateTrace()
    {
        Trace = _tracepoints.IsIdle ? null : _tracepoints;
        foreach (Cpu cpu in Machine.Cpus)
        {
            cpu.SlabPaths.TraceChanged(cpu, Trace is not null);
        }
    }
}
