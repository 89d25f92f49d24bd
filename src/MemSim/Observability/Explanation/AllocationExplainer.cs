using System.Globalization;
using MemSim.Compaction;
using MemSim.PageAllocation;
using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Goes through the attempts that the allocator would make, with its own checks and rights, and takes nothing.</summary>
internal static class AllocationExplainer
{
    public static AllocationExplanation Explain(Cpu cpu, Gfp gfp, int order)
    {
        gfp = PageAllocator.InContext(cpu, gfp);
        Request request = RequestFor(cpu, gfp, order);
        AllocFlags flags = default;
        string name = "";
        foreach ((AllocFlags attempt, string attemptName) in Attempts(request))
        {
            (flags, name) = (attempt, attemptName);
            if (Succeeds(request, attempt))
            {
                return new AllocationExplanation(gfp, order, cpu, name, true, ZonesOf(request, flags), []);
            }
        }

        List<ZoneExplanation> zones = ZonesOf(request, flags);
        return new AllocationExplanation(gfp, order, cpu, name, false, zones, HintsFor(request, flags, zones));
    }

    private static Request RequestFor(Cpu cpu, Gfp gfp, int order) =>
        new(cpu, ((gfp & Gfp.ThisNode) != 0 ? cpu.Node.ThisNodeZonelists : cpu.Node.Zonelists)[(int)(gfp & Gfp.ZoneMask)], gfp, order);

    /// <summary>The attempts in the allocator's order: the fast path, the slow path's rights, the reserves of those who may use them.</summary>
    private static IEnumerable<(AllocFlags Flags, string Name)> Attempts(Request request)
    {
        AllocFlags cma = PageAllocator.CmaRight(request);
        yield return (AllocFlags.WatermarkLow | cma, "fast path, low watermark");

        Request slow = request.CanReclaim && (request.Gfp & Gfp.AtomicBit) != 0 ? request.Without(Gfp.AtomicBit) : request;
        yield return (PageAllocator.FlagsOf(slow), "slow path, min watermark");
        AllocFlags reserves = PageAllocator.ReserveRights(slow);
        if (reserves != 0)
        {
            yield return (reserves | cma, (reserves & AllocFlags.NoWatermarks) != 0 ? "reserves, no watermark" : "reserves of an OOM victim");
        }

        if ((request.Gfp & Gfp.NoFail) != 0 && request.CanReclaim)
        {
            yield return (AllocFlags.MinReserve | cma, "last resort of __GFP_NOFAIL");
        }
    }

    private static bool Succeeds(in Request request, AllocFlags flags)
    {
        foreach (Zone zone in request.Zonelist.Zones)
        {
            if (request.Allows(zone) && Passes(request, zone, flags))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The allocator's own check; without watermarks what counts is whether there is a block.</summary>
    private static bool Passes(in Request request, Zone zone, AllocFlags flags) =>
        (flags & AllocFlags.NoWatermarks) != 0
            ? CanTake(request, zone, flags)
            : PageAllocator.Passes(request, zone, flags) && (request.Order != 0 || CanTake(request, zone, flags));

    /// <summary>Whether a block can be taken once the watermark allows it. A single page may come from the CPU's own list; that of another type cannot.</summary>
    private static bool CanTake(in Request request, Zone zone, AllocFlags flags)
    {
        PerCpuPages pcp = zone.Pcp[request.Cpu.Id];
        bool listed = request.Order == 0 && request.Type < PerCpuPages.PcpTypes && !pcp.Frames.IsEmpty(pcp.FirstHead + PerCpuPages.ListIndex(0, request.Type));
        return listed || WatermarkCheck.HasBlock(zone, request.Order, flags) || ((flags & AllocFlags.NonBlock) != 0 && zone.FreeArea.Orders((int)MigrateType.HighAtomic) >> request.Order != 0);
    }

    private static List<ZoneExplanation> ZonesOf(in Request request, AllocFlags flags)
    {
        List<ZoneExplanation> zones = [];
        foreach (Zone zone in request.Zonelist.Zones)
        {
            if (request.Allows(zone))
            {
                zones.Add(ZoneOf(request, zone, flags));
            }
        }

        return zones;
    }

    private static ZoneExplanation ZoneOf(in Request request, Zone zone, AllocFlags flags)
    {
        bool ignores = (flags & AllocFlags.NoWatermarks) != 0;
        Watermark watermark = (Watermark)(flags & AllocFlags.WatermarkMask);
        long mark = zone.GetWatermark(watermark);
        long limit = mark + zone.Boost;
        return new ZoneExplanation
        {
            Zone = zone,
            Watermark = ignores ? null : watermark,
            Mark = mark,
            Boost = zone.Boost,
            Limit = (flags & AllocFlags.Reserves) != 0 ? WatermarkCheck.Lowered(limit, flags, zone.Rules) : limit,
            Reserve = zone.Reserve[request.Zonelist.HighestZoneIndex],
            Free = zone.FreePagesForChecks,
            Unusable = WatermarkCheck.Unusable(zone, request.Order, flags),
            UnusableForOrder = (1L << request.Order) - 1,
            UnusableCma = zone.HasCma && (flags & AllocFlags.Cma) == 0 ? zone.FreeCmaPagesCount : 0,
            HighAtomicBlocks = Hidden(zone, request.Order, flags, MigrateType.HighAtomic),
            CmaBlocks = Hidden(zone, request.Order, flags, MigrateType.Cma),
            UsableBlocks = BlocksOf(zone, flags),
            PerCpuPages = zone.Pcp.Sum(p => p.Count),
            HasBlock = CanTake(request, zone, flags),
            Passes = Passes(request, zone, flags),
        };
    }

    /// <summary>Whether blocks of a type are the request's to take.</summary>
    private static bool MayTake(MigrateType type, AllocFlags flags) => type <= MigrateType.Reclaimable
        || (type == MigrateType.Cma && (flags & AllocFlags.Cma) != 0)
        || (type == MigrateType.HighAtomic && (flags & (AllocFlags.HighAtomic | AllocFlags.Oom | AllocFlags.NonBlock)) != 0);

    /// <summary>Free blocks of a type by order, from the request's on, that it may not take.</summary>
    private static long[] Hidden(Zone zone, int from, AllocFlags flags, MigrateType type)
    {
        long[] blocks = new long[PageGeometry.OrderCount];
        for (int order = from; order < blocks.Length && !MayTake(type, flags); order++)
        {
            blocks[order] = zone.FreeList(order, type).LongCount();
        }

        return blocks;
    }

    private static long[] BlocksOf(Zone zone, AllocFlags flags)
    {
        long[] blocks = new long[PageGeometry.OrderCount];
        for (int type = 0; type < FreeArea.MigrateTypes; type++)
        {
            for (int order = 0; MayTake((MigrateType)type, flags) && order < blocks.Length; order++)
            {
                blocks[order] += zone.FreeList(order, (MigrateType)type).LongCount();
            }
        }

        return blocks;
    }

    private static List<string> HintsFor(in Request request, AllocFlags flags, List<ZoneExplanation> zones)
    {
        // What was tried and works comes first, then what may work, then how much is missing.
        List<string> hints = [];
        Gfp gfp = request.Gfp;
        Request high = RequestFor(request.Cpu, gfp | Gfp.High, request.Order);
        Request atomic = RequestFor(request.Cpu, (gfp & ~(Gfp.Reclaim | Gfp.Io | Gfp.Fs)) | Gfp.Atomic, request.Order);
        if ((gfp & Gfp.High) == 0 && Succeeds(high, PageAllocator.FlagsOf(high)))
        {
            hints.Add("__GFP_HIGH: with the rights of a high-priority request it would succeed");
        }
        else if (request.CanReclaim && Succeeds(atomic, PageAllocator.FlagsOf(atomic)))
        {
            hints.Add("GFP_ATOMIC: with the rights of a request that cannot wait it would succeed");
        }

        for (int order = request.Order - 1; order >= 0; order--)
        {
            if (Succeeds(RequestFor(request.Cpu, gfp, order), flags))
            {
                hints.Add(string.Create(CultureInfo.InvariantCulture, $"order {order} or less would succeed"));
                break;
            }
        }

        foreach (ZoneExplanation zone in zones)
        {
            AddZoneHints(hints, request, flags, zone);
        }

        if (!request.CanReclaim)
        {
            hints.Add("__GFP_DIRECT_RECLAIM (a context that may sleep, e.g. GFP_KERNEL): the request could reclaim and compact instead of failing at once");
        }

        foreach (ZoneExplanation zone in zones)
        {
            if (!zone.HasEnoughPages && (zone.HasBlock || request.Order == 0))
            {
                hints.Add(string.Create(CultureInfo.InvariantCulture, $"{zone.Zone}: {zone.Limit + zone.Reserve + 1 - (zone.Free - zone.Unusable)} more free pages would do"));
            }
        }

        return hints;
    }

    private static void AddZoneHints(List<string> hints, in Request request, AllocFlags flags, ZoneExplanation zone)
    {
        long usable = zone.Free - zone.Unusable;
        CultureInfo plain = CultureInfo.InvariantCulture;
        if (zone.HighAtomicBlocks.Any(b => b != 0) && !zone.HasBlock)
        {
            hints.Add($"{zone.Zone}: giving back the highatomic reserve (its {zone.UnusableHighAtomic} pages do not count, its blocks may not be taken); the kernel does that before it calls the OOM killer");
        }

        if (zone.CmaBlocks.Any(b => b != 0) && !zone.HasBlock)
        {
            hints.Add($"{zone.Zone}: a smaller CMA area (cma=), or a movable request: CMA's free blocks are for movable ones only");
        }

        if (zone.HasEnoughPages && !zone.HasBlock && zone.HiddenBlocks.Length == 0)
        {
            long index = Suitability.FragmentationIndex(zone.Zone, request.Order);
            hints.Add(string.Create(plain, $"{zone.Zone}: compaction, or fewer scattered unmovable pages: {usable} pages would do but no block of order {request.Order} or more is free (fragmentation index {index / 1000.0:0.000})"));
        }

        if (!zone.HasBlock || zone.HasEnoughPages)
        {
            return;
        }

        if (zone.Boost != 0 && WatermarkCheck.PassesFull(zone.Zone, request.Order, zone.Mark, request.Zonelist.HighestZoneIndex, flags, zone.Free))
        {
            hints.Add(string.Create(plain, $"{zone.Zone}: without the watermark boost of {zone.Boost} pages (vm.watermark_boost_factor=0, or kswapd having run) it would succeed"));
        }

        if (usable > zone.Limit)
        {
            hints.Add(string.Create(plain, $"{zone.Zone}: without the lowmem reserve of {zone.Reserve} pages (a larger vm.lowmem_reserve_ratio) it would succeed"));
        }
        else if (usable > zone.Reserve)
        {
            hints.Add(string.Create(plain, $"{zone.Zone}: with a smaller vm.min_free_kbytes it would succeed: the limit is {zone.Limit} pages, {usable - zone.Reserve - 1} would pass"));
        }

        if (zone.PerCpuPages != 0 && usable + zone.PerCpuPages > zone.Limit + zone.Reserve)
        {
            hints.Add(string.Create(plain, $"{zone.Zone}: draining the per-CPU lists, which hold {zone.PerCpuPages} pages, would make it succeed"));
        }
    }
}
