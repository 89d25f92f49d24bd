using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>What the classic SLAB keeps for a cache: its figures, its nodes' lists, and the memory of its arrays.</summary>
internal sealed class ClassicCache
{
    private const int AlienLimit = 12;

    private readonly KmemCache _cache;
    private readonly ArrayMemory _memory = new();
    // Guards itself: where the free list of a slab lies that is kept outside of it.
    private readonly Dictionary<int, VirtualAddress> _freelists = [];

    /// <summary>Makes the state of a cache that was just created.</summary>
    /// <param name="figures">Its figures.</param>
    /// <param name="cache">The cache.</param>
    public ClassicCache(in ClassicFigures figures, KmemCache cache)
    {
        Machine machine = cache.Machine;
        Figures = figures;
        _cache = cache;
        Nodes = new ClassicNode[machine.Nodes[^1].Id + 1];
        foreach (Node node in machine.Nodes)
        {
            ClassicNode made = new(node.Id, Nodes.Length)
            {
                FreeLimit = FreeLimitOf(figures, node),
                Shared = figures.Shared == 0 || cache.IsDebugged ? default : Make(figures.Shared * figures.BatchCount, figures.BatchCount),
            };
            made.Lock.Watch(machine.Interleaver?.Watch("ClassicNode.Lock"));
            Nodes[node.Id] = made;
            foreach (Node other in machine.Nodes)
            {
                if (other.Id != node.Id && !cache.IsDebugged)
                {
                    made.Aliens[other.Id] = Make(figures.Limit > 1 ? AlienLimit : figures.Limit, figures.BatchCount);
                }
            }
        }

        for (int cpu = 0; cpu < machine.Cpus.Count && !cache.IsDebugged; cpu++)
        {
            cache.Cpus[cpu].Array = Make(figures.Limit, figures.BatchCount);
        }
    }

    public ClassicFigures Figures { get; private set; }

    /// <summary>The lists by node number; null where there is no node.</summary>
    public ClassicNode[] Nodes { get; }

    /// <summary>Replaces the arrays, all of which are empty, by ones of other sizes; those for other nodes' objects stay.</summary>
    public void Resize(int limit, int batchCount, int shared)
    {
        Figures = Figures with { Limit = limit, BatchCount = batchCount, Shared = shared };
        Machine machine = _cache.Machine;
        foreach (Node node in machine.Nodes)
        {
            ClassicNode own = Nodes[node.Id];
            own.FreeLimit = FreeLimitOf(Figures, node);
            if (!_cache.IsDebugged)
            {
                _memory.Free(own.Shared);
                own.Shared = shared == 0 ? default : Make(shared * batchCount, batchCount);
            }
        }

        for (int cpu = 0; cpu < machine.Cpus.Count && !_cache.IsDebugged; cpu++)
        {
            _memory.Free(_cache.Cpus[cpu].Array);
            _cache.Cpus[cpu].Array = Make(limit, batchCount);
        }
    }

    /// <summary>Where the off-slab list of free objects of a slab lies; the null address for slabs without one.</summary>
    public VirtualAddress FreelistOf(int head)
    {
        lock (_freelists)
        {
            return _freelists.GetValueOrDefault(head);
        }
    }

    public void SetFreelist(int head, VirtualAddress address)
    {
        lock (_freelists)
        {
            _freelists[head] = address;
        }
    }

    public VirtualAddress TakeFreelist(int head)
    {
        lock (_freelists)
        {
            _ = _freelists.Remove(head, out VirtualAddress address);
            return address;
        }
    }

    private static long FreeLimitOf(in ClassicFigures figures, Node node) => ((1 + (long)node.Cpus.Count) * figures.BatchCount) + figures.Objects;

    /// <summary>Makes an empty array, which lives as long as the cache.</summary>
    public ArrayCache Make(int limit, int batch) => _memory.Make(limit, batch);
}

/// <summary>A node's slabs of a cache (<c>struct kmem_cache_node</c>): full, partial and free, and the arrays between CPUs and slabs.</summary>
internal sealed class ClassicNode
{
    // Guards Full, Partial, Free and their counts, Shared, Aliens, and the free lists of the node's slabs. Of two nodes the one with the lower number comes first.
    public PaddedLock Lock;

    /// <summary>Slabs of which every object is out: handed out, or in an array.</summary>
    public SlabList Full;

    /// <summary>Slabs with free and other objects.</summary>
    public SlabList Partial;

    /// <summary>Slabs with nothing but free objects.</summary>
    public SlabList Free;

    public ClassicNode(int id, int nodes)
    {
        Id = id;
        Aliens = new ArrayCache[nodes];
    }

    public int Id { get; }

    /// <summary>Free objects in partial and free slabs; those in arrays are not counted.</summary>
    public long FreeObjects { get; set; }

    /// <summary>When more objects than this are free, free slabs go back to the page allocator.</summary>
    public long FreeLimit { get; set; }

    public long TotalSlabs { get; set; }

    /// <summary>The colour of the slab made last.</summary>
    public int ColourNext { get; set; }

    /// <summary>Whether a free slab was used since the last reaping.</summary>
    public bool FreeTouched { get; set; }

    /// <summary>Whether the next reaping looks at the node's own lists: every second one does.</summary>
    public bool ReapDue { get; set; }

    /// <summary>Free objects that any CPU of the node may take at once; null: none.</summary>
    public ArrayCache Shared { get; set; }

    /// <summary>By node number: objects of that node, freed here, not yet sent home.</summary>
    public ArrayCache[] Aliens { get; }

    /// <summary>The node whose objects the next reaping sends home.</summary>
    public int ReapNode { get; set; }
}
