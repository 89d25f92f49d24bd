using MemSim.Tool.Json;

namespace MemSim.Tool.Views;

/// <summary>The figures of a machine's zones at one moment: free blocks by order and how fragmented they are.</summary>
internal static class ZoneFigures
{
    public static List<ZoneDocument> Of(Machine machine) => [.. machine.Zones.Where(z => z.IsPopulated).Select(Of)];

    /// <summary>
    /// The share of free memory that no request of an order can use because its blocks are smaller, in thousandths as <c>extfrag/unusable_index</c> of debugfs:
    /// 0 none of it, 1 all of it.
    /// </summary>
    public static double UnusableIndex(IReadOnlyList<long> freeBlocks, int order)
    {
        long free = 0;
        long suitable = 0;
        for (int o = 0; o < freeBlocks.Count; o++)
        {
            free += freeBlocks[o] << o;
            suitable += o >= order ? freeBlocks[o] << o : 0;
        }

        return free == 0 ? 1 : (free - suitable) * 1000 / free / 1000.0;
    }

    private static ZoneDocument Of(Zone zone)
    {
        long[] blocks = [.. Enumerable.Range(0, PageGeometry.OrderCount).Select(zone.FreeBlocks)];
        return new ZoneDocument(
            zone.Node.Id,
            zone.Name,
            zone.StartPfn.Value,
            zone.SpannedPages,
            zone.PresentPages,
            zone.ManagedPages,
            zone.TrueFreePages,
            zone.GetWatermarkPages(Watermark.Min),
            zone.GetWatermarkPages(Watermark.Low),
            zone.GetWatermarkPages(Watermark.High),
            [.. zone.LowmemReserve],
            blocks,
            [.. Enumerable.Range(0, PageGeometry.OrderCount).Select(order => UnusableIndex(blocks, order))]);
    }
}
