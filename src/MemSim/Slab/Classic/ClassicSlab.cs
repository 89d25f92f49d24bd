using System.Runtime.CompilerServices;

namespace MemSim.Slab;

/// <summary>The classic SLAB: allocation from a CPU's array, which is filled from the node's shared array, partial and free slabs; frees go the same way back.</summary>
/// <remarks>
/// Kernel 6.1's <c>mm/slab.c</c>: <c>cache_alloc_refill()</c>, <c>cache_flusharray()</c>, <c>fallback_alloc()</c>. A CPU's array is touched by that CPU alone;
/// lists, counts and the shared array of a node are under the node's lock. An object in an array has the link <see cref="SlabPage.End"/>.
/// </remarks>
internal sealed partial class ClassicSlab : SlabBackend
{
    /// <summary>A CPU that has not allocated lately gets no more than this at a time.</summary>
    private const int BatchRefillLimit = 16;

    // Each round makes a slab; another CPU would have to empty it before it is looked at.
    private const int FallbackRounds = 64;

    private readonly SlabAllocator _allocator;
    private readonly Machine _machine;
    private readonly SlabMemory _memory;
    private readonly SlabPages _pages;
    private readonly bool _parallel;
    private readonly bool _numa;
    private readonly bool _singleNode;
    private readonly int _maxOrder;

    public ClassicSlab(SlabAllocator allocator)
    {
        _allocator = allocator;
        _machine = allocator.Machine;
        _memory = allocator.Memory;
        _pages = allocator.Pages;
        _parallel = _machine.IsParallel;
        _numa = _machine.Architecture.Bits == 64;
        _singleNode = _machine.Nodes.Count == 1;

        // Larger slabs only with more than 32 MiB (slab_max_order).
        _maxOrder = allocator.Rules.ClassicMaxOrder ?? (_machine.Zones.Sum(zone => zone.ManagedPages) > (32 << 20) >> PageGeometry.PageShift ? 1 : 0);
    }

    public override string Name => "slab";

    public override int KmallocMinSize => ClassicGeometry.KmallocMinSize;

    public override CacheLayout Layout(in CacheRequest request)
    {
        bool debugged = (request.Flags & SlabFlags.DebugFlags) != 0;
        CacheLayout like = SlubGeometry.Compute(_allocator.Rules, request, disableHigherOrderDebug: false);
        int size = debugged ? like.Size : ClassicGeometry.SizeOf(request.ObjectSize, request.Align, _allocator.Rules.WordBytes);
        ClassicFigures figures = ClassicGeometry.Compute(_allocator.Rules, size, request.ObjectSize, request.Align, request.Flags, request.HasConstructor, _maxOrder);
        return like with
        {
            Size = size,
            Flags = debugged ? like.Flags & ~SlabFlags.CmpxchgDouble : request.Flags,
            InUse = debugged ? like.InUse : size,
            FreePointerOffset = debugged ? like.FreePointerOffset : 0,
            Order = figures.Order,
            Objects = figures.Objects,
            MinOrder = figures.Order,
            MinObjects = figures.Objects,
            MinPartial = 0,
            CpuPartial = 0,
            CpuPartialSlabs = 0,
            AllocFlags = like.AllocFlags | Gfp.Comp,
        };
    }

    public override void Open(KmemCache cache)
    {
        ClassicFigures figures = ClassicGeometry.Compute(_allocator.Rules, cache.Size, cache.ObjectSize, cache.Align, cache.Flags, cache.Constructor is not null, _maxOrder);
        cache.BackendState = new ClassicCache(figures, cache);
    }

    public override ulong Alloc(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        if (node >= 0 && _machine.ZoneTable.NodeOrDefault(node) is not { PresentPages: > 0 })
        {
            node = -1;
        }

        int local = cpu.Node.Id;
        ArrayCache array = cache.Cpus[cpu.Id].Array;
        if (array.IsNull)
        {
            return AllocDebugged(cpu, cache, gfp, node < 0 ? local : node);
        }

        if (node >= 0 && node != local)
        {
            return AllocOnNode(cpu, cache, gfp, node, mayFallBack: true);
        }

        if (array.Avail != 0 || Refill(cpu, cache, array, gfp))
        {
            return array.Pop();
        }

        return _numa ? AllocOnNode(cpu, cache, gfp, local, mayFallBack: true) : 0;
    }

    public override void Free(Cpu cpu, KmemCache cache, int head, uint index)
    {
        ref SlabPage slab = ref _memory[head];
        ArrayCache array = cache.Cpus[cpu.Id].Array;
        ulong address = slab.AddressOf(index);
        if (array.IsNull)
        {
            if (_allocator.Debug.CheckFreed(cpu, cache, head, index))
            {
                FreeToSlab(cpu, cache, slab.Node, address, slab.Links.At(index));
            }

            return;
        }

        if (slab.Node != cpu.Node.Id)
        {
            FreeAlien(cpu, cache, slab.Node, address, slab.Links.At(index));
            return;
        }

        if ((slab.State & SlabPage.FromReserves) != 0)
        {
            // Never into an array, from which anybody may take it.
            FreeToSlab(cpu, cache, slab.Node, address, slab.Links.At(index));
            return;
        }

        if (array.Avail == array.Limit)
        {
            Flush(cpu, cache, array);
        }

        array.Push(address, slab.Links.At(index));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ClassicCache StateOf(KmemCache cache) => Unsafe.As<ClassicCache>(cache.BackendState!);

    /// <summary>Fills a CPU's array from the node: shared array, partial slabs, free slabs, a new slab (<c>cache_alloc_refill()</c>).</summary>
    /// <returns>Whether the array has an object now.</returns>
    private bool Refill(Cpu cpu, KmemCache cache, ArrayCache array, Gfp gfp)
    {
        ClassicNode node = StateOf(cache).Nodes[cpu.Node.Id];
        int batch = array.Touched == 0 ? Math.Min(array.BatchCount, BatchRefillLimit) : array.BatchCount;
        if (node.FreeObjects != 0 || (!node.Shared.IsNull && node.Shared.Avail != 0))
        {
            Lock(node);
            if (!node.Shared.IsNull && array.Transfer(node.Shared, batch) != 0)
            {
                node.Shared.Touched = 1;
            }
            else
            {
                int before = array.Avail;
                while (batch > 0 && FirstOrdinarySlab(node) is int head and not 0)
                {
                    batch -= TakeBlock(array, head, batch);
                    Relist(node, head);
                }

                if (array.Avail == 0 && SlabPages.MayUseReserves(cpu, gfp) && FirstSlab(node) is int reserved and not 0)
                {
                    _ = TakeBlock(array, reserved, 1);
                    Relist(node, reserved);
                }

                node.FreeObjects -= array.Avail - before;
            }

            Unlock(node);
        }

        if (array.Avail == 0)
        {
            int head = Grow(cpu, cache, ExactNode(gfp), cpu.Node.Id);
            if (head == 0)
            {
                return false;
            }

            // The page allocator's reclaim may have used this CPU's slab layer meanwhile.
            if (array.Avail == 0)
            {
                // Of the reserves no more than the one that was asked for: what is in the array, anybody takes. (6.1 fills the array.)
                _ = TakeBlock(array, head, (_memory[head].State & SlabPage.FromReserves) != 0 ? 1 : batch);
            }

            AddSlab(cache, head);
        }

        return array.Avail != 0;
    }

    /// <summary>Takes one object of a node, past the arrays (<c>____cache_alloc_node()</c>).</summary>
    private ulong AllocOnNode(Cpu cpu, KmemCache cache, Gfp gfp, int nodeId, bool mayFallBack)
    {
        ClassicNode node = StateOf(cache).Nodes[nodeId];
        Lock(node);
        int head = SlabPages.MayUseReserves(cpu, gfp) ? FirstSlab(node) : FirstOrdinarySlab(node);
        if (head != 0)
        {
            ulong address = TakeObject(head);
            node.FreeObjects--;
            Relist(node, head);
            Unlock(node);
            return address;
        }

        Unlock(node);
        head = Grow(cpu, cache, ExactNode(gfp), nodeId);
        if (head != 0)
        {
            ulong address = TakeObject(head);
            AddSlab(cache, head);
            return address;
        }

        return mayFallBack ? FallBack(cpu, cache, gfp) : 0;
    }

    /// <summary>Looks at the other nodes for free objects, then makes a slab wherever there is memory (<c>fallback_alloc()</c>).</summary>
    private ulong FallBack(Cpu cpu, KmemCache cache, Gfp gfp)
    {
        if ((gfp & Gfp.ThisNode) != 0)
        {
            return 0;
        }

        for (int round = 0; round < FallbackRounds; round++)
        {
            foreach (Zone zone in cpu.Lists.Zonelists[(int)(cache.Layout.AllocFlags & Gfp.ZoneMask)].Zones)
            {
                if (StateOf(cache).Nodes[zone.Node.Id].FreeObjects != 0 && AllocOnNode(cpu, cache, gfp, zone.Node.Id, mayFallBack: false) is ulong found and not 0)
                {
                    return found;
                }
            }

            int head = Grow(cpu, cache, gfp, cpu.Node.Id);
            if (head == 0)
            {
                return 0;
            }

            int node = _memory[head].Node;
            AddSlab(cache, head);
            if (AllocOnNode(cpu, cache, gfp, node, mayFallBack: false) is ulong address and not 0)
            {
                return address;
            }
        }

        return 0;
    }

    private ulong AllocDebugged(Cpu cpu, KmemCache cache, Gfp gfp, int nodeId)
    {
        ClassicNode node = StateOf(cache).Nodes[nodeId];
        int next = node.Partial.First != 0 ? node.Partial.First : node.Free.First;
        if (next != 0)
        {
            // Before anything changes: a report leaves the machine as it was.
            _allocator.Debug.CheckFree(cpu, cache, next, _memory[next].FreeHead);
        }

        ulong address = AllocOnNode(cpu, cache, gfp, nodeId, mayFallBack: true);
        if (address != 0)
        {
            int head = _memory.SlabAt(address);
            _ = _memory[head].TryIndex(address, out uint index);
            _allocator.Debug.Handed(cpu, cache, head, index);
        }

        return address;
    }

    /// <summary>Makes room in a CPU's full array: a batch goes to the shared array or, when that is full, to the slabs (<c>cache_flusharray()</c>).</summary>
    private void Flush(Cpu cpu, KmemCache cache, ArrayCache array)
    {
        ClassicNode node = StateOf(cache).Nodes[cpu.Node.Id];
        int batch = array.BatchCount;
        int discarded = 0;
        Lock(node);
        int room = node.Shared.IsNull ? 0 : node.Shared.Limit - node.Shared.Avail;
        if (room != 0)
        {
            batch = Math.Min(batch, room);
            node.Shared.CopyOldest(array, batch);
        }
        else
        {
            discarded = FreeBlock(cache, node, array.Oldest(batch));
        }

        Unlock(node);
        array.DropOldest(batch);
        DestroyList(cpu, cache, discarded);
    }

    /// <summary>Frees an object of another node: into the array for that node, which goes home when it is full (<c>cache_free_alien()</c>).</summary>
    private void FreeAlien(Cpu cpu, KmemCache cache, int home, ulong address, SlabLink link)
    {
        ClassicNode node = StateOf(cache).Nodes[cpu.Node.Id];
        ArrayCache alien = node.Aliens[home];
        int discarded = 0;
        Lock(node);
        if (alien.Avail == alien.Limit)
        {
            Unlock(node);
            SendHome(cpu, cache, node, home);
            Lock(node);
        }

        if (alien.Avail == alien.Limit)
        {
            // Another CPU of this node was faster in filling it again.
            Unlock(node);
            FreeToSlab(cpu, cache, home, address, link);
            return;
        }

        alien.Push(address, link);
        Unlock(node);
        DestroyList(cpu, cache, discarded);
    }

    private void FreeToSlab(Cpu cpu, KmemCache cache, int home, ulong address, SlabLink link)
    {
        ArrayEntry entry = new() { Address = address, Link = link };
        ClassicNode node = StateOf(cache).Nodes[home];
        Lock(node);
        int discarded = FreeBlock(cache, node, new ReadOnlySpan<ArrayEntry>(in entry));
        Unlock(node);
        DestroyList(cpu, cache, discarded);
    }

    /// <summary>The flags for the first try: this node only, without pressing for memory.</summary>
    private Gfp ExactNode(Gfp gfp) => _numa ? (gfp | Gfp.ThisNode | Gfp.NoWarn) & ~(Gfp.Reclaim | Gfp.NoFail) : gfp;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Lock(ClassicNode node)
    {
        if (_parallel)
        {
            node.Lock.Enter();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Unlock(ClassicNode node)
    {
        if (_parallel)
        {
            node.Lock.Exit();
        }
    }
}
