using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>Last phase: which free frames go to the page allocator, in which order, and which page blocks do not start as movable.</summary>
internal sealed class ReleaseStage
{
    private const string FreeMemory = "free memory";

    private readonly MachineSpec spec;
    private readonly Memblock memblock;
    private readonly List<BootNode> nodes;
    private readonly long maxLowPfn;

    public ReleaseStage(MachineSpec spec, Memblock memblock, List<BootNode> nodes, long maxLowPfn)
    {
        this.spec = spec;
        this.memblock = memblock;
        this.nodes = nodes;
        this.maxLowPfn = maxLowPfn;
    }

    /// <summary>The ranges, in order; they name zones whose managed pages are not final.</summary>
    public List<ReleaseRange> Releases { get; } = [];

    public void Run(EarlyAllocationStage? early)
    {
        List<(long Start, long End)> free = FreeFrames();
        AddWithin(free, maxLowPfn, long.MaxValue, ReleasePhase.HighMemory, FreeMemory);
        foreach ((long start, long end) in free)
        {
            AddRange(start, Math.Min(end, maxLowPfn), ReleasePhase.Memblock, FreeMemory, deferred: false);
        }

        foreach (BootNode node in nodes)
        {
            if (node.FirstDeferred is { } first)
            {
                foreach ((long start, long end) in free)
                {
                    AddRange(Math.Max(start, first.Value), Math.Min(end, node.End.Value), ReleasePhase.Deferred, FreeMemory, deferred: true, node.Id);
                }
            }
        }

        if (early is not null)
        {
            AddLate(early);
        }
    }

    /// <summary>The nodes with the managed pages of their zones.</summary>
    public static List<BootNode> WithManagedPages(List<BootNode> nodes, List<ReleaseRange> releases)
    {
        Dictionary<BootZone, (long All, long Early)> sums = new(ReferenceEqualityComparer.Instance);
        foreach (ReleaseRange range in releases)
        {
            (long all, long early) = sums.GetValueOrDefault(range.Zone);
            sums[range.Zone] = (all + range.Pages, early + (range.Phase == ReleasePhase.AfterInitcalls ? 0 : range.Pages));
        }

        List<BootNode> finished = [];
        foreach (BootNode node in nodes)
        {
            BootZone[] zones = [.. node.Zones];
            for (int i = 0; i < zones.Length; i++)
            {
                (long all, long early) = sums.GetValueOrDefault(zones[i]);
                zones[i] = zones[i] with { ManagedPages = all, InitcallManagedPages = early };
            }

            finished.Add(node with { Zones = zones });
        }

        return finished;
    }

    /// <summary>The first frame of a node whose initialisation is put off.</summary>
    /// <remarks>
    /// Only the node's last zone is put off, after its first section's worth of existing frames, from the next section (128 MiB) boundary on. All lower zones are initialised at once.
    /// </remarks>
    public static Pfn? FirstDeferred(MachineSpec spec, Memblock memblock, BootNode node)
    {
        BootZone? last = node.Zones.LastOrDefault(zone => zone.SpannedPages > 0 && zone.End == node.End);
        if (!spec.MemoryModel.HasSections() || last is null)
        {
            return null;
        }

        const long Section = UnavailableRanges.SectionPages;
        long seen = 0;
        foreach ((long start, long end, int owner) in memblock.PageRanges())
        {
            long from = Math.Max(start, last.Start.Value), to = Math.Min(end, last.End.Value);
            if (owner != node.Id || from >= to)
            {
                continue;
            }

            long candidate = (Math.Max(from, from + Section - seen) + Section - 1) & ~(Section - 1);
            if (candidate < to)
            {
                return new Pfn(candidate);
            }

            seen += to - from;
        }

        return null;
    }

    /// <summary>The page blocks whose first frame is never initialised as the first of a block.</summary>
    public static List<(BootZone Zone, long First, long Count)> UnmovablePageblocks(MachineSpec spec, Memblock memblock, List<BootNode> nodes)
    {
        int order = ArchitectureInfo.Of(spec.Architecture).PageblockOrder;
        List<(BootZone, long, long)> blocks = [];
        List<(long Start, long End)> free = [.. memblock.FreeRanges().Select(range => (Up(range.Start), Down(range.End)))];
        foreach (BootNode node in nodes)
        {
            long deferred = node.FirstDeferred?.Value ?? long.MaxValue;
            List<(long Start, long End)> initialised = [.. memblock.PageRanges().Where(range => range.Node == node.Id).Select(range => (range.Start, Math.Min(range.End, deferred)))];
            initialised.AddRange(free.Select(range => (Math.Max(range.Start, deferred), range.End)));
            initialised.RemoveAll(range => range.Start >= range.End);
            initialised.Sort();
            foreach (BootZone zone in node.Zones)
            {
                long last = zone.SpannedPages == 0 ? -1 : (zone.End.Value - 1) >> order, next = zone.Start.Value >> order;
                foreach ((long start, long end) in initialised)
                {
                    // Blocks whose first frame lies in this range and in the zone are movable; what comes before them is not.
                    long from = Math.Max(start, zone.Start.Value), to = Math.Min(end, zone.End.Value);
                    long first = (from + (1L << order) - 1) >> order, beyond = (to + (1L << order) - 1) >> order;
                    if (from < to && first < beyond)
                    {
                        Add(zone, next, first);
                        next = beyond;
                    }
                }

                Add(zone, next, last + 1);
            }
        }

        return blocks;

        void Add(BootZone zone, long first, long end)
        {
            if (first < end)
            {
                blocks.Add((zone, first, end - first));
            }
        }
    }

    private static long Up(ulong address) => (long)((address + PageGeometry.PageSize - 1) >> PageGeometry.PageShift);

    private static long Down(ulong address) => (long)(address >> PageGeometry.PageShift);

    private List<(long Start, long End)> FreeFrames()
    {
        List<(long Start, long End)> free = [];
        foreach ((ulong start, ulong end) in memblock.FreeRanges())
        {
            (long from, long to) = (Up(start), Down(end));
            if (from < to)
            {
                free.Add((from, to));
            }
        }

        return free;
    }

    private void AddLate(EarlyAllocationStage early)
    {
        foreach ((_, PfnRange cma) in early.CmaAreas)
        {
            AddRange(cma.Start.Value, cma.End.Value, ReleasePhase.Cma, "contiguous memory area", null);
        }

        foreach (KernelImagePart part in spec.Kernel.FreedParts.Where(part => part.BeforeInitcalls))
        {
            AddPart(part, spec.Personality.KernelMemory.FreesSmpAlternativesLate ? ReleasePhase.AfterInitcalls : ReleasePhase.BeforeInitcalls);
        }

        if (early.Initrd is { } initrd)
        {
            AddRange(Up(initrd.Start), Down(initrd.Start + initrd.Length), ReleasePhase.AfterInitcalls, "initrd", null);
        }

        foreach (KernelImagePart part in spec.Kernel.FreedParts.Where(part => !part.BeforeInitcalls))
        {
            AddPart(part, ReleasePhase.AfterInitcalls);
        }

        void AddPart(KernelImagePart part, ReleasePhase phase)
        {
            ulong start = early.ImageStart + part.Offset;
            AddRange(Up(start), Down(start + part.Length), phase, part.What, null);
        }
    }

    private void AddWithin(List<(long Start, long End)> ranges, long from, long to, ReleasePhase phase, string what)
    {
        foreach ((long start, long end) in ranges)
        {
            AddRange(Math.Max(start, from), Math.Min(end, to), phase, what, null);
        }
    }

    // Adds the parts of a range that lie in zones; of the zones of one node and, when asked, only the parts that are or are not put off.
    private void AddRange(long start, long end, ReleasePhase phase, string what, bool? deferred, int onlyNode = -1)
    {
        if (start >= end)
        {
            return;
        }

        foreach ((long ownerStart, long ownerEnd, int owner) in memblock.PageRanges())
        {
            long low = Math.Max(start, ownerStart), high = Math.Min(end, ownerEnd);
            if (low >= high || (onlyNode >= 0 && owner != onlyNode))
            {
                continue;
            }

            BootNode node = nodes[owner];
            if (deferred == false && node.FirstDeferred is { } first)
            {
                high = Math.Min(high, first.Value);
            }

            foreach (BootZone zone in node.Zones)
            {
                long from = Math.Max(low, zone.Start.Value), to = Math.Min(high, zone.End.Value);
                if (from < to)
                {
                    Releases.Add(new ReleaseRange(zone, new Pfn(from), to - from, phase, what));
                }
            }
        }
    }
}
