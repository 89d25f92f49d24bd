namespace MemSim.Slab;

/// <summary>The complete state of a machine's slab layer at one moment, for snapshots in memory: SLUB's, apart from the links' host addresses, which every machine has its own.</summary>
/// <remarks>Constructors are kept as they are; what they are bound to is the original's.</remarks>
internal sealed class SlabImage
{
    private readonly SlabParameters _options;
    private readonly List<CacheImage> _caches = [];
    private readonly List<(int Head, SlabPage Page, ushort[] Links)> _slabs = [];
    private readonly int _ids;
    private readonly ulong _random;
    private readonly Dictionary<int, ushort[]> _orders;
    private readonly IReadOnlyList<(long Reclaimable, long Unreclaimable)> _pages;
    private readonly SlabTracks _tracks;
    private readonly IReadOnlyList<(ulong Address, long Left)> _waiting;

    private SlabImage(SlabAllocator slab)
    {
        _options = slab.Options;
        _ids = slab.IdCount;
        (_random, _orders) = slab.ShuffleState;
        _pages = slab.Pages.Counts;
        _tracks = slab.Debug.CopyOfTracks;
        _waiting = slab.Rcu.Objects;
        int cpus = slab.Machine.Cpus.Count;
        foreach (KmemCache cache in slab.Caches)
        {
            _caches.Add(new CacheImage(cache, [.. Enumerable.Range(0, cpus).Select(cpu => cache.SlabOf(cpu))], [.. cache.Nodes.Select(n => new NodeImage(n.Partial, n.Full, n.Slabs, n.Objects))]));
        }

        SlabMemory memory = slab.Memory;
        for (int head = 1; head < (long)memory.Frames; head++)
        {
            if (memory.HeadOf(head) == head)
            {
                ref SlabPage page = ref memory[head];
                _slabs.Add((head, page, page.Links.All(page.Objects).ToArray()));
                head += (1 << page.Order) - 1;
            }
        }
    }

    /// <summary>The parameters of the slab layer that it was taken of.</summary>
    public SlabParameters Options => _options;

    /// <summary>Copies the state of a machine's slab layer; null where it was never used, or is the classic SLAB.</summary>
    public static SlabImage? Take(Machine machine) => machine.Slab is { Backend: Slub, IsUsed: true } slab ? new SlabImage(slab) : null;

    /// <summary>Gives a machine, whose slab layer was not used yet and whose frames are in the image's state, this state.</summary>
    public void Restore(Machine machine)
    {
        SlabAllocator slab = machine.Slab;
        SlabMemory memory = slab.Memory;
        Dictionary<int, KmemCache> caches = [];
        foreach (CacheImage image in _caches)
        {
            KmemCache cache = slab.Adopt(image.Id, image.Name, image.ObjectSize, image.Layout, image.Constructor, (image.UserOffset, image.UserSize), image.RefusesAliases, image.AsksForSheaves);
            cache.Restore(image.ObjectSize, image.InUse, image.References, image.Aliases);
            caches.Add(image.Id, cache);
        }

        slab.Adopted(_ids, _random, _orders);
        slab.Pages.Counts = _pages;
        slab.Debug.CopyOfTracks = _tracks;
        foreach ((int head, SlabPage page, ushort[] links) in _slabs)
        {
            ref SlabPage slot = ref memory[head];
            slot = page;
            slot.Links = memory.TakeLinks(head, page.Objects);
            slot.BelongTo(caches[page.Cache]);
            links.CopyTo(slot.Links.All(page.Objects));
            memory.SetHeads(head, page.Order, head);
        }

        foreach (CacheImage image in _caches)
        {
            KmemCache cache = caches[image.Id];
            for (int cpu = 0; cpu < image.Cpus.Length; cpu++)
            {
                ref CpuSlab c = ref cache.SlabOf(cpu);
                c = image.Cpus[cpu];
                c.Links = c.Slab != 0 ? memory[c.Slab].Links : default;
            }

            image.Sheaves?.Restore(cache, memory);

            for (int node = 0; node < image.Nodes.Length; node++)
            {
                SlubNode target = cache.Nodes[node];
                (target.Partial, target.Full, target.Slabs, target.Objects) = (image.Nodes[node].Partial, image.Nodes[node].Full, image.Nodes[node].Slabs, image.Nodes[node].Objects);
            }
        }

        foreach ((ulong address, long left) in _waiting)
        {
            _ = slab.Rcu.Keep(address, left);
        }
    }

    private sealed class CacheImage(KmemCache cache, CpuSlab[] cpus, NodeImage[] nodes)
    {
        // Copies: the cache itself goes on changing.
        public SheafImage? Sheaves { get; } = cache.BackendState is SheafCache sheaves ? new SheafImage(cache, sheaves) : null;

        public int Id { get; } = cache.Id;

        public string Name { get; } = cache.Name;

        public int ObjectSize { get; } = cache.ObjectSize;

        public int InUse { get; } = cache.InUse;

        public int References { get; } = cache.References;

        public string[] Aliases { get; } = [.. cache.Aliases];

        public CacheLayout Layout { get; } = cache.Layout;

        public ObjectConstructor? Constructor { get; } = cache.Constructor;

        public int UserOffset { get; } = cache.UserOffset;

        public int UserSize { get; } = cache.UserSize;

        public bool RefusesAliases { get; } = cache.RefusesAliases;

        public bool AsksForSheaves { get; } = cache.AsksForSheaves;

        public CpuSlab[] Cpus { get; } = cpus;

        public NodeImage[] Nodes { get; } = nodes;
    }

    private sealed record NodeImage(SlabList Partial, SlabList Full, long Slabs, long Objects);
}
