using MemSim.Hardware;
using MemSim.Kernels;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace MemSim.Boot;

/// <summary>Everything needed to build the objects of a machine, before a single page is free: what the boot planner or a recorded state comes to.</summary>
internal sealed record MachineBlueprint
{
    public required ArchitectureInfo Architecture { get; init; }

    public required int PageblockOrder { get; init; }

    /// <summary>The nodes' numbers and distances.</summary>
    public required IReadOnlyList<NodeBlueprint> Nodes { get; init; }

    /// <summary>The node of each CPU.</summary>
    public required IReadOnlyList<int> CpuNodes { get; init; }

    /// <summary>The zones, empty ones may be left out.</summary>
    public required IReadOnlyList<ZoneBlueprint> Zones { get; init; }

    /// <summary>Ranges of frames that the allocator never gets, ascending; for messages and flags.</summary>
    public IReadOnlyList<(long Start, long End)> Reserved { get; init; } = [];

    public bool HasContents { get; init; } = true;

    /// <summary>How memory is taken from the host.</summary>
    public HostMemory HostMemory { get; init; } = HostMemoryChoice.OfThisHost;

    public bool Parallel { get; init; }

    public IInterleaver? Interleaver { get; init; }

    public bool TracksOwners { get; init; }

    /// <summary>Whether contradictory zone flags are a bug (as with <c>CONFIG_DEBUG_VM</c>) or mean ZONE_DMA (as in Debian's kernel).</summary>
    public bool RefusesIllegalFlags { get; init; } = true;

    public BugPolicy BugPolicy { get; init; }

    public ILoggerFactory LoggerFactory { get; init; } = NullLoggerFactory.Instance;

    /// <summary>Whether free lists are kept apart by migrate type.</summary>
    public bool MobilityGrouping { get; init; } = true;

    /// <summary>The memory model; only what it costs differs.</summary>
    public MemoryModel MemoryModel { get; init; }

    /// <summary>Frames above RAM that page structures are reserved for, for device memory.</summary>
    public long DeviceFrames { get; init; }

    /// <summary>Frames that can be plugged in later.</summary>
    public long HotplugFrames { get; init; }

    /// <summary>The least end of the frame numbers, whatever the zones span: memory may be offline.</summary>
    public long LeastFrames { get; init; }

    public int WatermarkBoostFactor { get; init; } = 15000;

    /// <summary>The kernel whose rules the machine follows.</summary>
    public KernelPersonality Personality { get; init; } = KernelLines.Linux6_1;

    /// <summary>What is to be said about that choice.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];
}

/// <summary>A node to build.</summary>
/// <param name="Id">Its number.</param>
/// <param name="Distances">The distance to every node, by number; empty for the usual 10 and 20.</param>
/// <param name="FallbackOrder">The nodes in the order in which memory is looked for, itself first.</param>
internal sealed record NodeBlueprint(int Id, IReadOnlyList<int> Distances, IReadOnlyList<int> FallbackOrder);

/// <summary>A zone to build.</summary>
internal sealed record ZoneBlueprint(int Node, ZoneType Type, long StartPfn, long SpannedPages, long PresentPages, long ManagedPages)
{
    /// <summary>The ranges of frames that exist, ascending; empty when only the span is known.</summary>
    public IReadOnlyList<(long Start, long End)> Ranges { get; init; } = [];
}
