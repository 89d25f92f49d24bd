using System.Globalization;
using System.Numerics;

namespace MemSim.Captures;

/// <summary>What the watermarks of a zoneinfo tell about the setting they were computed from, and about boosts that the file does not print.</summary>
/// <remarks>
/// Each zone's min is its share of <c>min_free_kbytes</c>, rounded down: together they are less than it by no more than the number of zones. A boost raises the
/// three watermarks of a zone alike, while their distance stays: where that is the fourth part of min, it says what min was before.
/// </remarks>
internal static class WatermarkInference
{
    private const int PageKiB = PageGeometry.PageSize >> 10;

    /// <summary>Fills in the boosts of a file that prints none, and says so.</summary>
    public static void InferBoosts(ZoneInfoFile zoneInfo, ReserveLayout layout, VmSysctls sysctls, List<string> remarks)
    {
        if (!layout.Kernel.Reserves.ScalesWatermarkDistance || !layout.Kernel.Reserves.BoostsWatermarks || zoneInfo.Zones.Any(z => z.Boost is not null))
        {
            return;
        }

        foreach (ZoneInfoZone zone in zoneInfo.Zones)
        {
            if (zone is not { Min: long min, Low: long low, High: long high } || zone.Managed == 0 || !layout.TakesShare(zone.Type))
            {
                continue;
            }

            long distance = low - min;
            long scaled = zone.Managed / 10000 * sysctls.WatermarkScaleFactor + zone.Managed % 10000 * sysctls.WatermarkScaleFactor / 10000;
            long most = (distance * 4) + 3;

            // Never less than a page block, or the zone's whole limit where that is smaller; before the boost min was at most four distances.
            if (high - low == distance && distance > scaled && min - most > 0 && min - most >= (1L << layout.PageblockOrder) - 3)
            {
                zone.Boost = min - most;
                zone.BoostSlack = 3;
            }
        }

        SettleByShares(zoneInfo, layout);
        foreach (ZoneInfoZone zone in zoneInfo.Zones.Where(z => z.BoostSlack is not null))
        {
            remarks.Add(string.Create(CultureInfo.InvariantCulture,
                $"node {zone.Node} zone {zone.Type.KernelName()}: min {zone.Min} is more than four times the distance of the watermarks ({zone.Low - zone.Min}): a boost of {zone.Boost} pages that the file does not print is taken for the reason"));
        }
    }

    /// <summary>The <c>min_free_kbytes</c> that the min watermarks add up to: from and to in KiB; null where they are not known.</summary>
    public static (int From, int To)? MinFreeOf(ZoneInfoFile zoneInfo, ReserveLayout layout)
    {
        long pages = 0;
        int zones = 0;
        foreach (ZoneInfoZone zone in zoneInfo.Zones)
        {
            if (zone.Managed == 0 || !layout.TakesShare(zone.Type))
            {
                continue;
            }

            if (zone.Min is not long min)
            {
                return null;
            }

            pages += min - (zone.Boost ?? 0);
            zones++;
        }

        long to = ((pages + zones - 1) * PageKiB) + PageKiB - 1;
        return zones == 0 || pages <= 0 || to > int.MaxValue ? null : ((int)(pages * PageKiB), (int)to);
    }

    /// <summary>The value of a range that somebody would write: the roundest, in binary or in decimal digits.</summary>
    public static int Roundest(int from, int to)
    {
        int best = from;
        double most = -1;
        for (int value = from; value <= to; value++)
        {
            double roundness = Math.Max(BitOperations.TrailingZeroCount(value), DecimalZeros(value) * Math.Log2(10));
            if (roundness > most)
            {
                (best, most) = (value, roundness);
            }
        }

        return best;
    }

    private static int DecimalZeros(int value)
    {
        int zeros = 0;
        for (; value != 0 && value % 10 == 0; value /= 10)
        {
            zeros++;
        }

        return zeros;
    }

    /// <summary>Where other zones are not boosted, their shares say to the page what min was before.</summary>
    private static void SettleByShares(ZoneInfoFile zoneInfo, ReserveLayout layout)
    {
        ZoneInfoZone? plain = zoneInfo.Zones.Where(z => z.Boost is null && z.Min is > 0 && z.Managed > 0 && layout.TakesShare(z.Type)).MaxBy(z => z.Managed);
        foreach (ZoneInfoZone zone in zoneInfo.Zones.Where(z => z.BoostSlack is not null))
        {
            if (plain?.Min is long share)
            {
                long expected = (long)((UInt128)share * (ulong)zone.Managed / (ulong)plain.Managed);
                long distance = zone.Low!.Value - zone.Min!.Value;
                zone.Boost = zone.Min - Math.Clamp(expected, distance * 4, (distance * 4) + 3);
            }
        }
    }
}
