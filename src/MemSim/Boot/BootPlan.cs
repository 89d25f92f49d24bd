using MemSim.KernelMemory;
using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>Something the booting kernel reserved.</summary>
/// <param name="What">What it is for.</param>
/// <param name="Start">Address of its first byte.</param>
/// <param name="Length">Length in bytes.</param>
/// <param name="Node">The node it was wanted on, or <see cref="Memblock.AnyNode"/>.</param>
public sealed record EarlyAllocation(string What, ulong Start, ulong Length, int Node);

/// <summary>Everything that is decided about a machine before its page allocator exists; plain data.</summary>
public sealed class BootPlan
{
    internal BootPlan(MachineSpec spec) => Spec = spec;

    /// <summary>The machine that is booted.</summary>
    public MachineSpec Spec { get; }

    /// <summary>The memory map after <c>mem=</c> and <c>memmap=</c>; null for a machine made from zones.</summary>
    public MemoryMap? Memory { get; internal set; }

    /// <summary>The early allocator as it is when its free memory goes to the page allocator.</summary>
    public Memblock Memblock { get; internal set; } = new();

    /// <summary>The nodes with their zones and zonelists, by number.</summary>
    public IReadOnlyList<BootNode> Nodes { get; internal set; } = [];

    /// <summary>Distances between the nodes; null on a machine of one node without NUMA.</summary>
    public NumaTopology? Topology { get; internal set; }

    /// <summary>The populated zones, by node and kernel zone index.</summary>
    public IReadOnlyList<BootZone> Zones { get; internal set; } = [];

    /// <summary>What was reserved early, in order.</summary>
    public IReadOnlyList<EarlyAllocation> EarlyAllocations { get; internal set; } = [];

    /// <summary>The default contiguous memory area, if any.</summary>
    public PfnRange? Cma { get; internal set; }

    /// <summary>Gigantic huge pages set aside before the page allocator worked (<c>hugepagesz=1G hugepages=</c>).</summary>
    public IReadOnlyList<PfnRange> GiganticPages { get; internal set; } = [];

    /// <summary>All contiguous memory areas by name, in the order of their reservation.</summary>
    public IReadOnlyList<(string Name, PfnRange Range)> CmaAreas { get; internal set; } = [];

    /// <summary>The per-CPU areas; null for a machine made from zones.</summary>
    internal PercpuLayout? Percpu { get; set; }

    /// <summary>Free memory in the order in which the page allocator gets it.</summary>
    public IReadOnlyList<ReleaseRange> Releases { get; internal set; } = [];

    /// <summary>Page blocks, as numbers (<c>pfn &gt;&gt; pageblock order</c>) with a count, that start as unmovable; all others start as movable.</summary>
    /// <remarks>A block gets its type when its first frame is initialised: one whose first frame is in a hole, or reserved in the part initialised late, stays at 0.</remarks>
    public IReadOnlyList<(BootZone Zone, long First, long Count)> UnmovablePageblocks { get; internal set; } = [];

    /// <summary>CPUs that can exist (<c>nr_cpus=</c>).</summary>
    public int PossibleCpus { get; internal set; }

    /// <summary>CPUs brought up at boot (<c>maxcpus=</c>); they have the lowest numbers.</summary>
    public int OnlineCpus { get; internal set; }

    /// <summary>Pages that "Built N zonelists" counts: zones as estimated before anything was freed.</summary>
    public long EstimatedPages { get; internal set; }

    /// <summary>Whether free lists are kept apart by migrate type; off on machines with fewer than five page blocks.</summary>
    public bool MobilityGrouping { get; internal set; }

    /// <summary>The highest zone type (other than Movable) with memory in any zonelist: what memory policies apply to.</summary>
    public ZoneType PolicyZone { get; internal set; }

    /// <summary>What dmesg would say, without time stamps.</summary>
    public IReadOnlyList<string> BootLog { get; internal set; } = [];

    /// <summary>All blocks of <see cref="Releases"/>, one by one in order; computed while enumerated.</summary>
    /// <returns>The range, the first frame and the order of each block.</returns>
    public IEnumerable<(ReleaseRange Range, Pfn Start, int Order)> EnumerateBlocks()
    {
        int pageblockOrder = ArchitectureInfo.Of(Spec.Architecture).PageblockOrder;
        foreach (ReleaseRange range in Releases)
        {
            foreach ((Pfn start, int order) in range.Blocks(pageblockOrder))
            {
                yield return (range, start, order);
            }
        }
    }
}
