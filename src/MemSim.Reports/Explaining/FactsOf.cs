using MemSim.Reports.Kernels;

namespace MemSim.Reports.Explaining;

/// <summary>Makes pages of what a report prints in KiB, for one request and one set of rules.</summary>
internal static class FactsOf
{
    private const int HugePageShift = 9;

    /// <summary>The facts of a zone.</summary>
    /// <param name="report">The report.</param>
    /// <param name="zone">The zone.</param>
    /// <param name="zones">The kernel's zones.</param>
    /// <param name="highest">The highest index the request may use; -1 to keep nothing back.</param>
    /// <param name="rules">The kernel's rules.</param>
    /// <param name="pageKiB">Size of a page.</param>
    public static ZoneFacts Zone(KernelReport report, ReportedZone zone, ZoneIndexes zones, int highest, KernelRule rules, int pageKiB)
    {
        long? Pages(string figure) => zone.KiB(figure) / pageKiB;
        int index = zones.Of(zone.Name);
        long? list = zone.BlocksAreCut ? zone.ListTotalKiB / pageKiB : zone.Blocks?.Sum(b => b.Count << b.Order);
        (long high, bool least) = HighAtomic(report, zone, rules, pageKiB);
        long? cma = Pages("free_cma");
        long onlyCma = (rules & KernelRule.Cma) != 0 && cma is null ? OnlyOf(zone, 'C') : 0;
        long boost = Pages("boost") ?? InferredBoost(zone, rules, pageKiB) ?? 0;
        return new ZoneFacts
        {
            Node = zone.Node,
            Name = zone.Name,
            Index = index,
            Free = Pages("free") ?? list,
            Min = Pages("min"),
            Low = Pages("low"),
            High = Pages("high"),
            Boost = boost,
            Reserve = ReserveOf(zone, index, highest, rules, zones),
            HighAtomic = high,
            HighAtomicIsLeast = least,
            Cma = cma ?? onlyCma,
            CmaIsLeast = cma is null && onlyCma != 0,
            Blocks = zone.Blocks,
            BlocksAreCut = zone.BlocksAreCut,
            Managed = Pages("managed") ?? Pages("present"),
            PerCpu = zone.PerCpuPages ?? Pages("free_pcp") ?? 0,
        };
    }

    /// <summary>What a boost that the kernel does not print (5.0 to 5.11) must be, from the distance of the watermarks; null where it cannot be told.</summary>
    public static long? InferredBoost(ReportedZone zone, KernelRule rules, int pageKiB)
    {
        if ((rules & KernelRule.Boost) == 0 || zone.KiB("boost") is not null || zone.KiB("min") is not { } min || zone.KiB("low") is not { } low || zone.KiB("high") is not { } high)
        {
            return null;
        }

        // low - min is the larger of a quarter of the unboosted min and what watermark_scale_factor gives, which is at least 0.1 % of the zone.
        long step = low - min;
        long managed = zone.KiB("managed") ?? 0;
        long scaled = managed / 1000;
        if (step <= 0 || Math.Abs(high - low - step) > 2 * pageKiB || step <= scaled + (2 * pageKiB))
        {
            return null;
        }

        long boost = min - (4 * step);
        return boost > 16 * pageKiB ? boost / pageKiB : null;
    }

    /// <summary>Pages of a page block.</summary>
    public static long PageblockPages(KernelReport report, int pageKiB, out bool isLeast)
    {
        int orders = report.Zones.Select(z => z.Blocks is { Count: > 0 } b ? b[^1].Order : 0).DefaultIfEmpty(0).Max();

        // A huge page is what one entry of the middle level maps: 2 MiB of 4 KiB pages, 512 MiB of 64 KiB pages.
        int huge = HugePageShift + (System.Numerics.BitOperations.Log2((uint)pageKiB) - 2);
        if (report.HasHugePages == true)
        {
            isLeast = false;
            return 1L << Math.Min(huge, Math.Max(orders, 1));
        }

        // Every kernel of a machine with DMA32 is built with them; elsewhere the missing lines tell that this one is not.
        isLeast = report.HasHugePages is null || report.Zones.Any(z => z.Name == "DMA32");
        return 1L << Math.Max(1, isLeast ? Math.Min(huge, orders) : orders);
    }

    private static long? ReserveOf(ReportedZone zone, int index, int highest, KernelRule rules, ZoneIndexes zones)
    {
        if (highest < 0 || index < 0 || index >= highest || (rules & KernelRule.ReserveIsProtected) == 0)
        {
            return 0;
        }

        if (zone.LowmemReserve is { } reserve)
        {
            // A row that is shorter than those of other zones is cut, and its last number with it.
            if (reserve.Count < zones.Count && highest >= reserve.Count - 1)
            {
                return null;
            }

            return highest < reserve.Count ? reserve[highest] : reserve.Count == 0 ? null : reserve[^1];
        }

        // Without the line nothing is known, unless no zone above can have memory.
        return zone.Name is "Normal" or "HighMem" or "Movable" || (zone.Name == zones.Names[^1]) ? 0 : null;
    }

    private static (long Pages, bool IsLeast) HighAtomic(KernelReport report, ReportedZone zone, KernelRule rules, int pageKiB)
    {
        if ((rules & KernelRule.HighAtomicReserve) == 0)
        {
            return (0, false);
        }

        if ((rules & KernelRule.FreeHighAtomicOnly) != 0 && zone.KiB("free_highatomic") is { } free)
        {
            return (free / pageKiB, false);
        }

        if ((rules & KernelRule.FreeHighAtomicOnly) != 0 && zone.BlocksByType is { } types)
        {
            // pagetypeinfo counts the blocks of each type: what is free of the reserve is known from there.
            return (types.TryGetValue('H', out long[]? counts) ? counts.Select((count, order) => count << order).Sum() : 0, false);
        }

        if (zone.KiB("reserved_highatomic") is { } reserved)
        {
            return (reserved / pageKiB, false);
        }

        // Before 5.5 the size is not printed: where such a block is free, at least one page block is reserved.
        bool some = zone.Blocks?.Any(b => b.Types?.Contains('H') == true) == true;
        return some ? ((rules & KernelRule.FreeHighAtomicOnly) != 0 ? OnlyOf(zone, 'H') : PageblockPages(report, pageKiB, out _), true) : (0, false);
    }

    private static long OnlyOf(ReportedZone zone, char type) =>
        zone.Blocks?.Sum(b => b.Types is { Length: 1 } types && types[0] == type ? b.Count << b.Order : 0) ?? 0;
}
