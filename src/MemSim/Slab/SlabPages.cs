using MemSim.PageAllocation;
using MemSim.Pages;

namespace MemSim.Slab;

/// <summary>Pages for slabs (<c>kmem_getpages()</c> / <c>kmem_freepages()</c>): asked of the page allocator with the cache's flags, marked PG_slab and counted.</summary>
internal sealed class SlabPages
{
    private const Gfp ReclaimMask = Gfp.Reclaim | Gfp.High | Gfp.Io | Gfp.Fs | Gfp.NoWarn | Gfp.RetryMayFail | Gfp.NoFail | Gfp.NoRetry | Gfp.MemAlloc | Gfp.NoMemAlloc | Gfp.AtomicBit;
    private const Gfp ConstraintMask = Gfp.HardWall | Gfp.ThisNode;

    private readonly Machine _machine;
    private readonly SlabMemory _memory;
    private readonly FrameArray _frames;
    private readonly PageAllocator _pages;
    private readonly NodeCounters[] _counters;

    public SlabPages(Machine machine, SlabMemory memory)
    {
        _machine = machine;
        _memory = memory;
        _frames = machine.Frames.Array;
        _pages = machine.Pages;
        int nodes = machine.Nodes[^1].Id + 1;
        _counters = new NodeCounters[nodes];
        foreach (Node node in machine.Nodes)
        {
            _counters[node.Id] = node.Counters;
        }
    }

    /// <summary>Pages of reclaimable slabs of a node.</summary>
    public long Reclaimable(int node) => Volatile.Read(ref _counters[node].TakenSlabReclaimable);

    /// <summary>Pages of unreclaimable slabs and of large kmalloc objects of a node.</summary>
    public long Unreclaimable(int node) => Volatile.Read(ref _counters[node].TakenSlabUnreclaimable);

    /// <summary>Whether the slab layer has pages.</summary>
    public bool WereTaken => _machine.Nodes.Any(node => (node.Counters.TakenSlabReclaimable | node.Counters.TakenSlabUnreclaimable) != 0);

    /// <summary>What of a request's flags reaches the page allocator; where the page lies is the cache's decision.</summary>
    public static Gfp PageFlagsOf(Gfp gfp) => gfp & (ReclaimMask | ConstraintMask);

    /// <summary>Whether the request has the right to pages from the emergency reserves (<c>gfp_pfmemalloc_allowed()</c>).</summary>
    public static bool MayUseReserves(Cpu cpu, Gfp gfp)
    {
        if ((gfp & (Gfp.NoMemAlloc | Gfp.MemAlloc)) != 0)
        {
            return (gfp & Gfp.NoMemAlloc) == 0;
        }

        TaskFlags task = cpu.Current.Flags;
        return cpu.Context.InSoftIrq ? (task & TaskFlags.MemAlloc) != 0 : !cpu.Context.InInterrupt && (task & (TaskFlags.MemAlloc | TaskFlags.OomVictim)) != 0;
    }

    /// <summary>Gets pages and makes them a slab: tables filled, all objects free in order of address and on no list.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="cache">The cache.</param>
    /// <param name="gfp">The flags for the page allocator, the cache's own not included.</param>
    /// <param name="order">log2 of the pages.</param>
    /// <param name="objects">Objects to put in.</param>
    /// <param name="start">Bytes from the block's start to object 0: the red zone, or the colour.</param>
    /// <param name="node">The node wanted, or -1.</param>
    /// <returns>The first frame, or 0.</returns>
    public int Get(Cpu cpu, KmemCache cache, Gfp gfp, int order, int objects, int start, int node)
    {
        _machine.Callouts.Drivers?.Enter();
        try
        {
            return GetGuarded(cpu, cache, gfp, order, objects, start, node);
        }
        finally
        {
            _machine.Callouts.Drivers?.Leave();
        }
    }

    private int GetGuarded(Cpu cpu, KmemCache cache, Gfp gfp, int order, int objects, int start, int node)
    {
        gfp |= cache.Layout.AllocFlags;
        int head = node < 0 ? _pages.Allocate(cpu, gfp, order) : _pages.AllocateChecked(cpu, gfp, order, _machine.GetNode(node));
        if (head < 0)
        {
            return 0;
        }

        ref PageFrame frame = ref _frames[head];
        frame.Set(PageFlags.Slab);
        Zone zone = _machine.Zones[frame.ZoneId];
        ref SlabPage slab = ref _memory[head];
        slab = default;
        slab.Links = _memory.TakeLinks(head, objects);
        slab.Base = _memory.FrameZero + ((ulong)head << PageGeometry.PageShift) + (ulong)start;
        slab.Size = (uint)cache.Size;
        slab.Reciprocal = SlabPage.ReciprocalOf((uint)cache.Size);
        slab.BelongTo(cache);
        slab.Objects = (ushort)objects;
        slab.Order = (byte)order;
        slab.Node = (ushort)zone.Node.Id;
        if (cpu.IsSpecial && MayUseReserves(cpu, gfp) || (gfp & Gfp.MemAlloc) != 0)
        {
            slab.State = zone.TrueFreePages + (1L << order) <= zone.MarkMin ? SlabPage.FromReserves : (byte)0;
        }

        for (int i = 0; i < objects; i++)
        {
            slab.Links[i] = (ushort)(i + 1);
        }

        slab.Links[objects - 1] = SlabPage.End;
        _memory.SetHeads(head, order, head);

        Account(cache.Flags, zone.Node.Id, 1L << order);
        return head;
    }

    /// <summary>Gives a slab's pages back.</summary>
    public void Give(Cpu cpu, KmemCache cache, int head)
    {
        ref SlabPage slab = ref _memory[head];
        int order = slab.Order;
        Account(cache.Flags, slab.Node, -(1L << order));
        slab.Links.GiveTo(_memory, slab.Objects);
        _memory.SetHeads(head, order, 0);

        slab = default;
        _frames[head].Clear(PageFlags.Slab);
        _pages.FreeBlock(cpu, head, order);
    }

    /// <summary>Counts pages of slabs, or of large kmalloc objects.</summary>
    public void Account(SlabFlags flags, int node, long pages)
    {
        NodeCounters counters = _counters[node];
        ref long counter = ref (flags & SlabFlags.ReclaimAccount) != 0 ? ref counters.TakenSlabReclaimable : ref counters.TakenSlabUnreclaimable;
        if (_machine.IsParallel)
        {
            Interlocked.Add(ref counter, pages);
        }
        else
        {
            counter += pages;
        }
    }
}
