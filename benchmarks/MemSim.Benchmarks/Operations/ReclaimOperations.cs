using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Reclaim;

namespace MemSim.Benchmarks.Operations;

/// <summary>Reclaim: what it costs to get a page back, per page.</summary>
internal static class ReclaimOperations
{
    private const int PagesPerTurn = 1024;

    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("MemSim", "lru_add_put", options => Loop(options, AddAndPut)),
        new("MemSim", "reclaim_clean_page", options => Loop(options, ReadAndReclaim)),
        new("MemSim", "read_page_at_low_watermark", AtLowWatermark),
    ];

    private static Workload Loop(BenchmarkOptions options, Action<Cache> turn)
    {
        Cache cache = new(options);
        return new Workload(turns => Repeat(cache, turns, turn), PagesPerTurn, cache);
    }

    private static void Repeat(Cache cache, int turns, Action<Cache> turn)
    {
        for (int i = 0; i < turns; i++)
        {
            turn(cache);
        }
    }

    /// <summary>Pages are read, put on the list and freed by their owner: what the list alone costs.</summary>
    private static void AddAndPut(Cache cache)
    {
        for (int i = 0; i < PagesPerTurn; i++)
        {
            cache.Pages[i] = cache.Read();
        }

        cache.Machine.Lru.Drain(cache.Cpu);
        foreach (int pfn in cache.Pages)
        {
            cache.Machine.Frames.Array[pfn].Mapping = 0;
        }

        cache.Machine.Lru.PutAll(cache.Cpu, cache.Pages);
    }

    /// <summary>Clean pages of a file are read and reclaimed at once: the pair of an allocation and a reclaim.</summary>
    private static void ReadAndReclaim(Cache cache)
    {
        for (int i = 0; i < PagesPerTurn; i++)
        {
            _ = cache.Read();
        }

        cache.Machine.Lru.Drain(cache.Cpu);
        cache.Reclaim();
    }

    /// <summary>Memory is full of clean cache: each page read makes kswapd or the reader free another.</summary>
    private static Workload AtLowWatermark(BenchmarkOptions options)
    {
        Cache cache = new(options);
        long pages = cache.Machine.Zones.Sum(z => z.ManagedPages);
        for (long i = 0; i < pages; i++)
        {
            _ = cache.Read();
        }

        return new Workload(turns => ReadMany(cache, turns), 1, cache);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void ReadMany(Cache cache, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            _ = cache.Read();
        }
    }

    /// <summary>A page cache of nothing but frames.</summary>
    private sealed class Cache : IPageOwners, IDisposable
    {
        private readonly uint _file;
        private readonly ScanControl _control = new();
        private readonly FrameArray _frames;

        public Cache(BenchmarkOptions options)
        {
            MachineSpec spec = MachineSpec.X86_64("1G", cpus: options.Parallel ? 2 : 1).WithoutContents();
            Machine = Machine.Boot(options.Parallel ? spec.WithParallelCpus() : spec);
            Cpu = Machine.Cpus[0];
            _frames = Machine.Frames.Array;
            _file = MappingTable.Value(Machine.Frames.Mappings.Add(this));
            Machine.Lru.Owners = this;
            Machine.Reclaim.Enable();
        }

        public Machine Machine { get; }

        public Cpu Cpu { get; }

        public int[] Pages { get; } = new int[PagesPerTurn];

        public int Read()
        {
            int pfn = Cpu.AllocPages(Gfp.HighUserMovable).FrameIndex;
            _frames[pfn].Mapping = _file;
            Machine.Lru.Add(Cpu, pfn);
            return pfn;
        }

        public void Reclaim()
        {
            _control.Start(Gfp.Kernel, 0, Machine.Architecture.ZoneTypes.Count - 1, PagesPerTurn, isKswapd: false);
            _control.Priority = 0;
            Machine.Reclaim.Vmscan.ShrinkNode(Cpu, Machine.Reclaim.Vmscan.StateOf(Machine.Nodes[0]), _control);
            if (_control.Reclaimed != PagesPerTurn)
            {
                throw new InvalidOperationException($"{_control.Reclaimed} of {PagesPerTurn} pages were reclaimed");
            }
        }

        public void Dispose() => Machine.Dispose();

        public PageReferences Referenced(Cpu cpu, int pfn) => default;

        public bool TryToUnmap(Cpu cpu, int pfn) => false;

        public bool AddToSwap(Cpu cpu, int pfn) => false;

        public PageOutOutcome PageOut(Cpu cpu, int pfn) => PageOutOutcome.Keep;

        public bool RemoveFromCache(Cpu cpu, int pfn)
        {
            ref PageFrame frame = ref _frames[pfn];
            if (frame.RefCount != 2)
            {
                return false;
            }

            _ = Machine.Lru.EvictionShadow(cpu, pfn);
            frame.Mapping = 0;
            Machine.Frames.AddReferences(pfn, -1);
            return true;
        }

        public bool UnmapForMigration(Cpu cpu, int pfn) => false;

        public bool MoveMapping(Cpu cpu, int from, int to) => false;

        public void RestoreMappings(Cpu cpu, int from, int to)
        {
        }
    }
}
