using MemSim.Kernels;

namespace MemSim;

/// <summary>Where one zone lies and how many of its frames exist and are handed out.</summary>
/// <param name="Node">The NUMA node.</param>
/// <param name="Type">The kind of zone.</param>
/// <param name="StartPfn">The first frame spanned; 0 where the zone is empty.</param>
/// <param name="SpannedPages">Frames spanned, holes included.</param>
/// <param name="PresentPages">Frames that exist.</param>
/// <param name="ManagedPages">Frames given to the allocator.</param>
/// <param name="CmaPages">Frames in contiguous memory areas.</param>
/// <remarks>Kernel: the first fields of <c>struct zone</c>, the lines <c>spanned</c>, <c>present</c>, <c>managed</c>, <c>cma</c> and <c>start_pfn</c> of zoneinfo.</remarks>
public sealed record ZoneLayout(int Node, ZoneType Type, long StartPfn, long SpannedPages, long PresentPages, long ManagedPages, long CmaPages = 0)
{
    /// <summary>Whether the zone has any frames (<c>populated_zone()</c>).</summary>
    public bool IsPopulated => PresentPages != 0;

    /// <summary>Whether the zone spans a frame.</summary>
    /// <param name="pfn">The frame.</param>
    internal bool Spans(Pfn pfn) => pfn.Value >= StartPfn && pfn.Value - StartPfn < SpannedPages;
}

/// <summary>A CPU and the node it belongs to.</summary>
/// <param name="Cpu">The number of the CPU.</param>
/// <param name="Node">Its NUMA node.</param>
/// <param name="Online">Whether it runs.</param>
/// <remarks>With emulated nodes (<c>numa=fake=</c>) a CPU belongs to several nodes; it is listed once for each.</remarks>
public sealed record CpuLayout(int Cpu, int Node, bool Online = true);

/// <summary>What a machine's derived figures depend on: its zones, its CPUs, its architecture and its kernel.</summary>
public sealed class ReserveLayout
{
    /// <summary>Describes a machine.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="kernel">The kernel's rule set.</param>
    /// <param name="zones">All zones of all nodes, empty ones included, by node and then by kernel index.</param>
    /// <param name="cpus">All CPUs.</param>
    /// <param name="zoneTypes">The zones the kernel was built with, lowest first; those of the architecture where null.</param>
    /// <param name="pageblockOrder">log2 of the pages in a page block; that of the architecture where null.</param>
    /// <exception cref="ArgumentException">No CPU is online, or a zone is of a type the kernel does not have.</exception>
    public ReserveLayout(
        ArchitectureInfo architecture,
        KernelPersonality kernel,
        IReadOnlyList<ZoneLayout> zones,
        IReadOnlyList<CpuLayout> cpus,
        IReadOnlyList<ZoneType>? zoneTypes = null,
        int? pageblockOrder = null)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        ArgumentNullException.ThrowIfNull(kernel);
        ArgumentNullException.ThrowIfNull(zones);
        ArgumentNullException.ThrowIfNull(cpus);
        Architecture = architecture;
        Kernel = kernel;
        Zones = zones;
        Cpus = cpus;
        ZoneTypes = zoneTypes ?? architecture.ZoneTypes;
        PageblockOrder = pageblockOrder ?? architecture.PageblockOrder;
        OnlineCpus = cpus.Where(c => c.Online).DistinctBy(c => c.Cpu).Count();
        if (OnlineCpus == 0)
        {
            throw new ArgumentException("a machine needs a CPU that is online", nameof(cpus));
        }

        foreach (ZoneLayout zone in zones)
        {
            if (!ZoneTypes.Contains(zone.Type))
            {
                throw new ArgumentException($"the kernel has no zone {zone.Type.KernelName()}", nameof(zones));
            }
        }
    }

    /// <summary>The architecture.</summary>
    public ArchitectureInfo Architecture { get; }

    /// <summary>The kernel's rule set.</summary>
    public KernelPersonality Kernel { get; }

    /// <summary>All zones of all nodes, empty ones included, by node and then by kernel index.</summary>
    public IReadOnlyList<ZoneLayout> Zones { get; }

    /// <summary>All CPUs.</summary>
    public IReadOnlyList<CpuLayout> Cpus { get; }

    /// <summary>The zones the kernel was built with, lowest first; the kernel's zone index is the position in this list.</summary>
    public IReadOnlyList<ZoneType> ZoneTypes { get; }

    /// <summary>log2 of the pages in a page block.</summary>
    public int PageblockOrder { get; }

    /// <summary>The number of CPUs online.</summary>
    public int OnlineCpus { get; }

    /// <summary>Managed pages of all zones (<c>totalram_pages()</c>).</summary>
    public long TotalManagedPages => Zones.Sum(z => z.ManagedPages);

    /// <summary>Whether the Movable zone lies in high memory, where the kernel treats it as such a zone (<c>movable_zone == ZONE_HIGHMEM</c>).</summary>
    public bool MovableIsHighMem
    {
        get
        {
            // The kernel asks whether there is memory beyond the direct map. Where all of that became Movable, only the place of the Movable zone tells;
            // lowmem never reaches beyond 896 MiB.
            const long FirstFrameBeyondLowmem = 896L << (20 - PageGeometry.PageShift);
            return ZoneTypes.Contains(ZoneType.HighMem) && Zones.Any(z =>
                (z.Type == ZoneType.HighMem && z.SpannedPages != 0) || (z.Type == ZoneType.Movable && z.SpannedPages != 0 && z.StartPfn >= FirstFrameBeyondLowmem));
        }
    }

    /// <summary>Whether a zone's min watermark is a share of <c>min_free_kbytes</c>.</summary>
    internal bool TakesShare(ZoneType type) => type != ZoneType.HighMem && (type != ZoneType.Movable || !(MovableIsHighMem || Kernel.Reserves.ClampsMovableMin));

    /// <summary>The kernel index of a zone type, or -1.</summary>
    /// <param name="type">The type.</param>
    internal int IndexOf(ZoneType type)
    {
        for (int i = 0; i < ZoneTypes.Count; i++)
        {
            if (ZoneTypes[i] == type)
            {
                return i;
            }
        }

        return -1;
    }

    /// <summary>How many CPUs of a node are online.</summary>
    /// <param name="node">The node.</param>
    internal int OnlineCpusOf(int node) => Cpus.Count(c => c.Online && c.Node == node);

    /// <summary>The same machine with other zones, in the same order.</summary>
    /// <param name="zones">The zones.</param>
    internal ReserveLayout WithZones(IReadOnlyList<ZoneLayout> zones) => new(Architecture, Kernel, zones, Cpus, ZoneTypes, PageblockOrder);

    /// <summary>The same machine with other CPUs.</summary>
    /// <param name="cpus">The CPUs.</param>
    internal ReserveLayout WithCpus(IReadOnlyList<CpuLayout> cpus) => new(Architecture, Kernel, Zones, cpus, ZoneTypes, PageblockOrder);
}
