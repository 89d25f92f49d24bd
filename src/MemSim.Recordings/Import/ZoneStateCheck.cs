using MemSim.Observability;

namespace MemSim.Recordings.Import;

/// <summary>Checks that a zone that was read makes sense on its own: frames inside, blocks aligned, counts equal to what is listed.</summary>
internal static class ZoneStateCheck
{
    /// <summary>The first thing wrong with a zone, or null.</summary>
    public static string? FirstFault(ZoneState zone, int pageblockOrder)
    {
        if (zone.StartPfn > long.MaxValue - zone.SpannedPages || zone.PresentPages > zone.SpannedPages || zone.ManagedPages > zone.PresentPages)
        {
            return $"spanned {zone.SpannedPages}, present {zone.PresentPages} and managed {zone.ManagedPages} pages contradict each other";
        }

        for (int order = 0; order < zone.FreeLists.Length; order++)
        {
            for (int type = 0; type < zone.FreeLists[order].Length; type++)
            {
                if (FirstBadBlock(zone, zone.FreeLists[order][type], order) is string fault)
                {
                    return $"free list of order {order}, type {(MigrateType)type}: {fault}";
                }
            }
        }

        for (int cpu = 0; cpu < zone.Pcp.Count; cpu++)
        {
            if (FirstPcpFault(zone, zone.Pcp[cpu], pageblockOrder) is string fault)
            {
                return $"per-CPU lists of CPU {cpu}: {fault}";
            }
        }

        foreach ((long start, long count) in zone.LruOrMovable)
        {
            if (count < 1 || !Contains(zone, start, count))
            {
                return $"{count} pages on LRU lists from frame {start} are outside of the zone";
            }
        }

        return PageblockFault(zone, pageblockOrder);
    }

    private static string? FirstPcpFault(ZoneState zone, PcpState pcp, int pageblockOrder)
    {
        long pages = 0;
        for (int index = 0; index < pcp.Lists.Length; index++)
        {
            int order = RecordedTypes.OrderOfPcpList(index, pageblockOrder);
            if (FirstBadBlock(zone, pcp.Lists[index], order) is string fault)
            {
                return $"list {index}: {fault}";
            }

            if (pcp.CachedTypes.Length > 0 && pcp.CachedTypes[index].Length != pcp.Lists[index].Length)
            {
                return $"list {index} has {pcp.Lists[index].Length} pages but {pcp.CachedTypes[index].Length} cached types";
            }

            pages += (long)pcp.Lists[index].Length << order;
        }

        return pages == pcp.Count ? null : $"count is {pcp.Count} but the lists hold {pages} pages";
    }

    private static string? FirstBadBlock(ZoneState zone, long[] pfns, int order)
    {
        foreach (long pfn in pfns)
        {
            if (!Contains(zone, pfn, 1L << order))
            {
                return $"frame {pfn} is outside of the zone's frames {zone.StartPfn} to {zone.StartPfn + zone.SpannedPages - 1}";
            }

            if ((pfn & ((1L << order) - 1)) != 0)
            {
                return $"frame {pfn} is not aligned to 2^{order} pages";
            }
        }

        return null;
    }

    private static string? PageblockFault(ZoneState zone, int pageblockOrder)
    {
        if (zone.SpannedPages == 0)
        {
            return zone.Pageblocks.Length == 0 ? null : "an empty zone has page blocks";
        }

        long first = zone.StartPfn >> pageblockOrder;
        long count = ((zone.StartPfn + zone.SpannedPages - 1) >> pageblockOrder) - first + 1;
        return zone.FirstPageblock == first && zone.Pageblocks.Length == count
            ? null
            : $"{zone.Pageblocks.Length} page blocks from {zone.FirstPageblock} on, but the zone touches {count} from {first} on";
    }

    private static bool Contains(ZoneState zone, long start, long count) => start >= zone.StartPfn && start <= zone.StartPfn + zone.SpannedPages - count;
}
