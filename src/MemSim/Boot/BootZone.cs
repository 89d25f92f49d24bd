namespace MemSim.Boot;

/// <summary>Consecutive page frames.</summary>
/// <param name="Start">The first frame.</param>
/// <param name="Pages">How many.</param>
public readonly record struct PfnRange(Pfn Start, long Pages)
{
    /// <summary>The frame after the last.</summary>
    public Pfn End => Start + Pages;
}

/// <summary>A zone as the boot lays it out. Counts in pages.</summary>
/// <param name="Node">The node it belongs to.</param>
/// <param name="Type">The kind of zone.</param>
/// <param name="Start">The first frame it spans; 0 for an empty zone.</param>
/// <param name="SpannedPages">Frames from its first to its last, holes included.</param>
/// <param name="PresentPages">Frames that exist.</param>
/// <param name="ManagedPages">Frames given to the page allocator once the boot is over.</param>
public sealed record BootZone(int Node, ZoneType Type, Pfn Start, long SpannedPages, long PresentPages, long ManagedPages)
{
    /// <summary>The frame after the last it spans.</summary>
    public Pfn End => Start + SpannedPages;

    /// <summary>Whether it has memory; the kernel's <c>populated_zone()</c>.</summary>
    public bool IsPopulated => PresentPages > 0;

    /// <summary>Frames given to the allocator when the initcalls run, before the initial RAM disk and the kernel's init sections are freed: what watermarks are first computed from.</summary>
    public long InitcallManagedPages { get; init; } = ManagedPages;

    /// <summary>Where its holes are, in a zone for <see cref="MachineSpec.FromZones"/>; null for the default place.</summary>
    public IReadOnlyList<PfnRange>? Holes { get; init; }

    /// <summary>Where its frames are that the allocator does not get, in a zone for <see cref="MachineSpec.FromZones"/>; null for the default place.</summary>
    public IReadOnlyList<PfnRange>? ReservedRanges { get; init; }
}

/// <summary>A node as the boot lays it out.</summary>
/// <param name="Id">Its number.</param>
/// <param name="Start">The first frame of its memory; 0 for a node without memory.</param>
/// <param name="SpannedPages">Frames from its first to its last.</param>
/// <param name="PresentPages">Frames that exist.</param>
/// <param name="Cpus">Its CPUs.</param>
/// <param name="Zones">One zone for each that the architecture has, empty ones included, by kernel zone index.</param>
public sealed record BootNode(int Id, Pfn Start, long SpannedPages, long PresentPages, IReadOnlyList<int> Cpus, IReadOnlyList<BootZone> Zones)
{
    /// <summary>The frame after the last it spans.</summary>
    public Pfn End => Start + SpannedPages;

    /// <summary>Where its part of ZONE_MOVABLE starts because of <c>kernelcore=</c> or <c>movablecore=</c>; null without.</summary>
    public Pfn? MovableStart { get; init; }

    /// <summary>The first frame whose initialisation is put off until all CPUs run; null when none is.</summary>
    public Pfn? FirstDeferred { get; init; }

    /// <summary>All nodes in the order in which memory is looked for, itself first.</summary>
    public IReadOnlyList<int> NodeOrder { get; init; } = [Id];

    /// <summary>The populated zones of all nodes in the order in which memory is looked for (<c>ZONELIST_FALLBACK</c>).</summary>
    public IReadOnlyList<BootZone> FallbackZonelist { get; init; } = [];

    /// <summary>The populated zones of this node alone (<c>ZONELIST_NOFALLBACK</c>).</summary>
    public IReadOnlyList<BootZone> LocalZonelist { get; init; } = [];
}
