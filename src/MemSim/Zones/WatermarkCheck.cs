using System.Runtime.CompilerServices;
using MemSim.Kernels;

namespace MemSim.Zones;

/// <summary>Whether a zone has enough free pages for a request (<c>zone_watermark_ok()</c> and its fast form), by the rules of the zone's kernel.</summary>
internal static class WatermarkCheck
{
    /// <summary>The check of an allocation attempt: free pages above the watermark and the lowmem reserve, and a block that is large enough.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Passes(Zone zone, int order, long mark, int highestZoneIndex, AllocFlags flags, Gfp gfp)
    {
        // Order 0 has a quick answer in most cases: no rights lower the limit here, so it never says yes where the full check says no.
        if (order == 0)
        {
            long free = zone.FreePagesForChecks;
            long unusable = Unusable(zone, 0, flags);
            long usable = free - Math.Min(free, unusable);
            if (usable > mark + zone.Reserve[highestZoneIndex])
            {
                return true;
            }
        }

        return PassesFull(zone, order, mark, highestZoneIndex, flags, zone.FreePagesForChecks)
            || (order == 0 && PassesWithoutBoost(zone, highestZoneIndex, flags, gfp));
    }

    /// <summary>The first check of a request without rights, in a zone without CMA: where it says yes, so does the full one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool PassesQuickly(Zone zone, int order, int highestZoneIndex)
    {
        long limit = zone.MarkFirst + zone.Boost + zone.HighAtomicHeld + zone.Reserve[highestZoneIndex] + (1L << order) - 1;
        return zone.FreePagesFolded > limit && (order == 0 || zone.FreeArea.OrdinaryOrders >> order != 0);
    }

    /// <summary>The full check with a given number of free pages.</summary>
    public static bool PassesFull(Zone zone, int order, long mark, int highestZoneIndex, AllocFlags flags, long free)
    {
        free -= Unusable(zone, order, flags);
        if ((flags & AllocFlags.Reserves) != 0)
        {
            mark = Lowered(mark, flags, zone.Rules);
        }

        if (zone.Rules.HalvesLimitWithOrder && order > 0)
        {
            return PassesOrderByOrder(zone, order, free, mark, zone.Reserve[highestZoneIndex]);
        }

        return free > mark + zone.Reserve[highestZoneIndex] && (order == 0 || HasBlock(zone, order, flags));
    }

    /// <summary>The check before 4.4: what lies in smaller blocks does not count, and each order halves what must be left over.</summary>
    private static bool PassesOrderByOrder(Zone zone, int order, long free, long mark, long reserve)
    {
        bool passes = free > mark + reserve;
        for (int smaller = 0; passes && smaller < order; smaller++)
        {
            free -= zone.FreeArea.Blocks(smaller) << smaller;
            mark >>= 1;
            passes = free > mark;
        }

        return passes;
    }

    /// <summary>The limit after the rights of the request: high priority takes half, and a quarter of the rest where it cannot wait; an OOM victim half.</summary>
    internal static long Lowered(long mark, AllocFlags flags, AllocatorRules rules)
    {
        bool high = (flags & AllocFlags.MinReserve) != 0;
        if (high)
        {
            mark -= mark / 2;
        }

        if ((flags & AllocFlags.NonBlock) != 0 && (high || rules.WaitlessTriesHarder))
        {
            mark -= mark / 4;
        }

        if ((flags & AllocFlags.Oom) != 0)
        {
            mark -= mark / 2;
        }

        return mark;
    }

    /// <summary>Free pages that do not count: all but one of the block itself, those reserved for others, and CMA's for those who may not use it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static long Unusable(Zone zone, int order, AllocFlags flags)
    {
        long unusable = (1L << order) - 1;
        if ((flags & AllocFlags.Reserves) == 0)
        {
            unusable += zone.HighAtomicHeld;
        }

        if (zone.HasCma && (flags & AllocFlags.Cma) == 0)
        {
            unusable += zone.FreeCmaPagesCount;
        }

        return unusable;
    }

    /// <summary>Whether a block of an order can be had above a request's mark without anything being moved for it.</summary>
    internal static bool NeedsNoCompaction(Zone zone, int order, AllocFlags flags, int highestZoneIndex)
    {
        long mark = zone.GetWatermark((Watermark)(flags & AllocFlags.WatermarkMask)) + zone.Boost;
        return PassesFull(zone, order, mark, highestZoneIndex, flags, zone.FreePagesForChecks);
    }

    /// <summary>Whether so many free pages are room for the pages to be moved, twice: they are taken from the lists before the old ones come back.</summary>
    internal static bool HasRoomToCompact(Zone zone, int order, int highestZoneIndex, long free)
    {
        long room = (order > PageGeometry.CostlyOrder ? zone.MarkLow : zone.MarkMin) + zone.Boost + (2L << order);
        return PassesFull(zone, 0, room, highestZoneIndex, AllocFlags.Cma, free);
    }

    internal static bool HasBlock(Zone zone, int order, AllocFlags flags)
    {
        uint orders = zone.FreeArea.OrdinaryOrders;
        if ((flags & AllocFlags.Cma) != 0)
        {
            orders |= zone.FreeArea.Orders((int)MigrateType.Cma);
        }

        if ((flags & (AllocFlags.HighAtomic | AllocFlags.Oom)) != 0)
        {
            orders |= zone.FreeArea.Orders((int)MigrateType.HighAtomic);
        }

        return orders >> order != 0;
    }

    /// <summary>An order-0 request marked atomic (since 6.3: of high priority) may ignore the boost: a zone that was only boosted should not fail it.</summary>
    private static bool PassesWithoutBoost(Zone zone, int highestZoneIndex, AllocFlags flags, Gfp gfp) =>
        (zone.Rules.HasAtomicFlag ? (gfp & Gfp.AtomicBit) != 0 : (flags & AllocFlags.MinReserve) != 0) && zone.Boost != 0 && (flags & AllocFlags.WatermarkMask) == AllocFlags.WatermarkMin
        && PassesFull(zone, 0, zone.MarkMin, highestZoneIndex, flags, zone.FreePagesForChecks);
}
