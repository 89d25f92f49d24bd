using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>How many pages the kernel believes it will have, before anything was freed: what "Built N zonelists" prints and hash tables are sized by.</summary>
internal static class PageEstimate
{
    /// <summary>All pages, and those the kernel maps permanently.</summary>
    public static (long All, long Kernel) Of(MachineSpec spec, Memblock memblock, IReadOnlyList<BootNode> nodes)
    {
        bool highMemory = spec.Architecture is Architecture.X86_32 or Architecture.X86_32Pae;
        long all = 0, kernel = 0;
        foreach (BootNode node in nodes)
        {
            bool first = true;
            foreach (BootZone zone in node.Zones)
            {
                long map = MapPages(spec, zone), pages = zone.PresentPages;
                bool high = highMemory && zone.Type is ZoneType.HighMem or ZoneType.Movable && highMemory;
                if (!high && pages >= map)
                {
                    pages -= map;
                }

                if (first && spec.Architecture == Architecture.X86_64)
                {
                    // Counted once for the machine, but taken off the first zone of every node that has more.
                    long reserved = ReservedBelow16M(memblock);
                    pages -= pages > reserved ? reserved : 0;
                }

                first = false;
                all += pages;
                if (!high)
                {
                    kernel += pages;
                }
                else if (kernel > map * 2)
                {
                    kernel -= map;
                }
            }
        }

        return (all, kernel);
    }

    private static long MapPages(MachineSpec spec, BootZone zone)
    {
        bool sparse = spec.MemoryModel.HasSections();
        long pages = sparse && zone.SpannedPages > zone.PresentPages + (zone.PresentPages >> 4) ? zone.PresentPages : zone.SpannedPages;
        return (pages * spec.Kernel.StructPageBytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;
    }

    private static long ReservedBelow16M(Memblock memblock)
    {
        const long SixteenMiB = (16 << 20) / PageGeometry.PageSize;
        long reserved = memblock.PresentPages(new Pfn(0), new Pfn(SixteenMiB));
        foreach ((ulong start, ulong end) in memblock.FreeRanges())
        {
            long from = (long)((start + PageGeometry.PageSize - 1) >> PageGeometry.PageShift), to = Math.Min((long)(end >> PageGeometry.PageShift), SixteenMiB);
            reserved -= Math.Max(0, to - from);
        }

        return reserved;
    }
}
