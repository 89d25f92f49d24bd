namespace MemSim.Reports;

/// <summary>Finds the page size of a report.</summary>
internal static class PageSize
{
    /// <summary>The first column of the free lists; else the ratio of what is printed in both units. Null where nothing tells.</summary>
    public static int? Of(KernelReport report)
    {
        foreach (ReportedZone zone in report.Zones)
        {
            if (zone.Blocks is { Count: > 0 } blocks && blocks[0].Order == 0 && IsPageSize(blocks[0].KiB))
            {
                return (int)blocks[0].KiB;
            }
        }

        long kib = report.Zones.Sum(z => z.KiB("free") ?? 0);
        if (report.Totals.TryGetValue("free", out long pages) && pages > 64 && kib > 0)
        {
            foreach (int size in (ReadOnlySpan<int>)[4, 8, 16, 32, 64, 256])
            {
                if (Math.Abs((double)kib / pages - size) < size * 0.2)
                {
                    return size;
                }
            }
        }

        return null;
    }

    private static bool IsPageSize(long kib) => kib is 4 or 8 or 16 or 32 or 64 or 128 or 256;
}
