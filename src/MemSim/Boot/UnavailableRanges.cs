using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>Page frames without memory that nevertheless have a descriptor, because descriptors come in sections (or for everything, with the flat model).</summary>
internal static class UnavailableRanges
{
    /// <summary>Pages of a section of the sparse memory model: 128 MiB.</summary>
    public const long SectionPages = 1L << (PageGeometry.SectionShift - PageGeometry.PageShift);

    /// <summary>Adds the "pages in unavailable ranges" lines.</summary>
    public static void Log(MachineSpec spec, Memblock memblock, List<BootNode> nodes, List<string> log)
    {
        bool sparse = spec.MemoryModel.HasSections();
        List<(long Start, long End)> sections = sparse ? SectionsOf(memblock) : [(0, long.MaxValue)];
        long hole = 0;
        BootZone? last = null;
        foreach ((long start, long end, int node) in memblock.PageRanges())
        {
            foreach (BootZone zone in nodes[node].Zones)
            {
                long from = Math.Clamp(start, zone.Start.Value, zone.End.Value), to = Math.Clamp(end, zone.Start.Value, zone.End.Value);
                if (from < to)
                {
                    Add(zone, hole, from);
                    hole = to;
                    last = zone;
                }
            }
        }

        if (sparse && last is not null)
        {
            Add(last, hole, (hole + SectionPages - 1) & ~(SectionPages - 1));
        }

        void Add(BootZone zone, long from, long to)
        {
            long pages = 0;
            foreach ((long start, long end) in sections)
            {
                pages += Math.Max(0, Math.Min(to, end) - Math.Max(from, start));
            }

            if (pages > 0)
            {
                log.Add($"On node {zone.Node}, zone {zone.Type.KernelName()}: {pages} pages in unavailable ranges");
            }
        }
    }

    /// <summary>The sections that have any memory, joined, as frames.</summary>
    public static List<(long Start, long End)> SectionsOf(Memblock memblock, int node = Memblock.AnyNode)
    {
        List<(long Start, long End)> sections = [];
        long taken = 0;
        foreach ((long start, long end, int owner) in memblock.PageRanges())
        {
            // A section that two nodes share belongs to the first.
            long from = Math.Max(taken, start & ~(SectionPages - 1)), to = (end + SectionPages - 1) & ~(SectionPages - 1);
            taken = Math.Max(taken, to);
            if (from >= to || (node != Memblock.AnyNode && owner != node))
            {
                continue;
            }

            if (sections.Count > 0 && from == sections[^1].End)
            {
                sections[^1] = (sections[^1].Start, to);
            }
            else
            {
                sections.Add((from, to));
            }
        }

        return sections;
    }
}
