using MemSim.Tool.Json;

namespace MemSim.Tool.Views;

/// <summary>One page block, or a few neighbours where a zone has very many.</summary>
/// <param name="Type">The migrate type of the (first) block; null where there is no memory.</param>
/// <param name="Pages">Frames spanned.</param>
/// <param name="FreePages">Frames in free lists; those in per-CPU lists count as used, as in the kernel's counter.</param>
/// <param name="LargestFreeOrder">The order of the largest free block that reaches into it; -1 when nothing is free.</param>
internal readonly record struct MapCell(MigrateType? Type, long Pages, long FreePages, int LargestFreeOrder)
{
    /// <summary>The share in use, 0 to 1.</summary>
    public double Used => Pages == 0 ? 0 : 1 - (double)FreePages / Pages;
}

/// <summary>The page blocks of a zone in address order.</summary>
/// <param name="Figures">The zone's figures at the same moment.</param>
/// <param name="PagesPerCell">Frames of each cell.</param>
/// <param name="Cells">The cells.</param>
internal sealed record ZoneMap(ZoneDocument Figures, long PagesPerCell, IReadOnlyList<MapCell> Cells);

/// <summary>Where a machine's free memory lies, block by block: what fragmentation looks like.</summary>
/// <param name="When">The moment, for headings.</param>
/// <param name="Zones">The populated zones.</param>
internal sealed record FragmentationMap(string When, IReadOnlyList<ZoneMap> Zones)
{
    /// <summary>More cells than this are too many to look at: blocks are put together in pairs until they are fewer.</summary>
    private const int MostCells = 4096;

    public long FreePages => Zones.Sum(z => z.Figures.FreePages);

    public IReadOnlyList<ZoneDocument> Figures => [.. Zones.Select(z => z.Figures)];

    public static FragmentationMap Of(Machine machine, string when)
    {
        List<ZoneDocument> figures = ZoneFigures.Of(machine);
        return new FragmentationMap(when, [.. machine.Zones.Where(z => z.IsPopulated).Select((zone, i) => Of(zone, figures[i], machine.Memory.PageblockOrder))]);
    }

    private static ZoneMap Of(Zone zone, ZoneDocument figures, int pageblockOrder)
    {
        int shift = pageblockOrder;
        while ((zone.EndPfn.Value - 1 >> shift) - (zone.StartPfn.Value >> shift) >= MostCells)
        {
            shift++;
        }

        long first = zone.StartPfn.Value >> shift;
        long[] free = new long[(zone.EndPfn.Value - 1 >> shift) - first + 1];
        int[] largest = new int[free.Length];
        Array.Fill(largest, -1);
        for (int order = 0; order < PageGeometry.OrderCount; order++)
        {
            for (MigrateType type = MigrateType.Unmovable; type <= MigrateType.Isolate; type++)
            {
                foreach (Pfn pfn in zone.FreeList(order, type))
                {
                    Add(pfn.Value, order);
                }
            }
        }

        var cells = new MapCell[free.Length];
        for (int i = 0; i < cells.Length; i++)
        {
            long start = Math.Max((first + i) << shift, zone.StartPfn.Value);
            long end = Math.Min((first + i + 1) << shift, zone.EndPfn.Value);
            cells[i] = new MapCell(zone.PageblockType(new Pfn(start)), end - start, free[i], largest[i]);
        }

        return new ZoneMap(figures, 1L << shift, cells);

        void Add(long pfn, int order)
        {
            // A block of the largest order covers more than one page block.
            for (long at = pfn; at < pfn + (1L << order); at = ((at >> shift) + 1) << shift)
            {
                long cell = (at >> shift) - first;
                free[cell] += Math.Min(((at >> shift) + 1) << shift, pfn + (1L << order)) - at;
                largest[cell] = Math.Max(largest[cell], order);
            }
        }
    }
}
