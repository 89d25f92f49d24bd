using MemSim.Benchmarks.Harness;
using MemSim.Zones;

namespace MemSim.Benchmarks.Operations;

/// <summary>A CPU of a machine and the pages a pattern holds on it.</summary>
internal sealed class PageState : IDisposable
{
    public const int BatchPages = 1024;

    private readonly bool _ownsMachine;

    private PageState(Machine machine, Cpu cpu, bool ownsMachine)
    {
        Machine = machine;
        Cpu = cpu;
        _ownsMachine = ownsMachine;
    }

    public Machine Machine { get; }

    public Cpu Cpu { get; }

    /// <summary>Pages held, or room for a batch.</summary>
    public Page[] Pages { get; private set; } = new Page[BatchPages];

    /// <summary>The order of each page held.</summary>
    public byte[] Orders { get; private set; } = [];

    /// <summary>The fixed random order in which a batch is freed.</summary>
    public int[] Shuffle { get; private set; } = [];

    public Xorshift64 Random = new();

    public static PageState Boot(BenchmarkOptions options, string memory = "2G") => Of(Spec(options, memory));

    public static PageState Of(MachineSpec spec)
    {
        Machine machine = Machine.Boot(spec);
        return new PageState(machine, machine.Cpus[0], ownsMachine: true);
    }

    /// <summary>A machine of two CPUs with a state for each; only the first disposes it.</summary>
    public static (PageState First, PageState Second) BootTwo(BenchmarkOptions options, string memory = "2G")
    {
        Machine machine = Machine.Boot(Spec(options, memory));
        return (new PageState(machine, machine.Cpus[0], ownsMachine: true), new PageState(machine, machine.Cpus[1], ownsMachine: false));
    }

    public static MachineSpec Spec(BenchmarkOptions options, string memory)
    {
        MachineSpec spec = MachineSpec.X86_64(ByteSize.Parse(memory), cpus: options.Parallel ? 2 : 1).WithoutContents();
        return options.Parallel ? spec.WithParallelCpus() : spec;
    }

    /// <summary>Holds so many blocks, of order 0 or of the mixed orders of the churn.</summary>
    public PageState WithLiveBlocks(int count, bool mixed)
    {
        Pages = new Page[count];
        Orders = new byte[count];
        for (int i = 0; i < count; i++)
        {
            int order = mixed ? PagePatterns.MixedOrder(Random.Next()) : 0;
            Pages[i] = Cpu.AllocPages(Gfp.Kernel, order);
            Orders[i] = (byte)order;
            Require(!Pages[i].IsNull);
        }

        return this;
    }

    /// <summary>Fixes the random order in which a batch is freed.</summary>
    public PageState WithShuffle()
    {
        Shuffle = [.. Enumerable.Range(0, BatchPages)];
        for (int i = BatchPages - 1; i > 0; i--)
        {
            int j = Random.Below(i + 1);
            (Shuffle[i], Shuffle[j]) = (Shuffle[j], Shuffle[i]);
        }

        return this;
    }

    /// <summary>Switches the per-CPU lists off: every free drains at once, every refill takes one block.</summary>
    public PageState WithoutPerCpuLists()
    {
        Machine.Memory.DrainAllPages();
        foreach (Zone zone in Machine.Zones)
        {
            foreach (PerCpuPages pcp in zone.Pcp)
            {
                pcp.High = 0;
                pcp.Batch = 1;
            }
        }

        return this;
    }

    /// <summary>Holds every free block smaller than the largest of the zone that serves first, so that each allocation has to split one.</summary>
    public PageState HoldingSmallBlocks()
    {
        Zone zone = Cpu.Lists.Zonelists[(int)(Gfp.Kernel & Gfp.ZoneMask)].Zones[0];

        // One pair first: it may claim a page block for its type, which changes the lists.
        Cpu.FreePages(Cpu.AllocPages(Gfp.Kernel));
        for (int order = 0; order < PageGeometry.MaxOrder; order++)
        {
            for (int type = 0; type < PerCpuPages.PcpTypes; type++)
            {
                Gfp gfp = Gfp.Kernel | (Gfp)(type << 3);
                while (zone.FreeList(order, (MigrateType)type).Any())
                {
                    Require(!Cpu.AllocPages(gfp, order).IsNull);
                }
            }
        }

        for (int order = 0; order < PageGeometry.MaxOrder; order++)
        {
            Require(zone.FreeBlocks(order) == 0);
        }

        return this;
    }

    /// <summary>Makes room for every page of the machine, finds out how many a request without reclaim gets, and gives them back.</summary>
    public PageState UntilExhaustion(out int pages)
    {
        Pages = new Page[Machine.Zones.Sum(z => (int)z.ManagedPages)];
        pages = PagePatterns.Exhaust(this);
        return this;
    }

    public void Dispose()
    {
        if (_ownsMachine)
        {
            Machine.Dispose();
        }
    }

    private static void Require(bool condition)
    {
        if (!condition)
        {
            throw new InvalidOperationException("the condition the pattern is measured in could not be made");
        }
    }
}
