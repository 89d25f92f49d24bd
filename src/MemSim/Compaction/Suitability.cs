using MemSim.PageAllocation;
using MemSim.Zones;

namespace MemSim.Compaction;

/// <summary>Whether a zone should be compacted, whether a run has reached its goal, and how fragmented a zone is.</summary>
internal static class Suitability
{
    /// <summary>Whether compaction could make a block of an order (<c>compaction_suitable()</c>).</summary>
    public static CompactionStatus Of(Cpu cpu, Zone zone, int order, AllocFlags flags, int highestZoneIndex)
    {
        Machine machine = cpu.Machine;
        CompactionStatus status = ByWatermarks(zone, order, flags, highestZoneIndex, zone.FreePagesForChecks);
        if (status == CompactionStatus.Continue && order > PageGeometry.CostlyOrder)
        {
            // Towards 0 a request fails for want of memory, towards 1000 because of fragmentation.
            long index = FragmentationIndex(zone, order);
            if (index >= 0 && index <= machine.Settings.Sysctls.ExtfragThreshold)
            {
                status = CompactionStatus.NotSuitableZone;
            }
        }

        machine.Migration.Trace?.MmCompactionSuitable(cpu, zone, order, status);
        return status == CompactionStatus.NotSuitableZone ? CompactionStatus.Skipped : status;
    }

    /// <summary>The part of the decision that only needs the number of free pages, which may be a guess of what reclaim would free (<c>__compaction_suitable()</c>).</summary>
    public static CompactionStatus ByWatermarks(Zone zone, int order, AllocFlags flags, int highestZoneIndex, long free)
    {
        if (order == CompactControl.NoGoal)
        {
            return CompactionStatus.Continue;
        }

        return WatermarkCheck.NeedsNoCompaction(zone, order, flags, highestZoneIndex) ? CompactionStatus.Success
            : WatermarkCheck.HasRoomToCompact(zone, order, highestZoneIndex, free) ? CompactionStatus.Continue : CompactionStatus.Skipped;
    }

    /// <summary>Whether a block of the order is free in a list that the request may take it from.</summary>
    public static bool HasBlock(CompactControl cc)
    {
        Zone zone = cc.Zone;
        int type = cc.Type;
        for (int order = cc.Order; order <= PageGeometry.MaxOrder; order++)
        {
            bool own = (zone.FreeArea.Orders(type) >> order & 1) != 0;
            bool cma = type == (int)MigrateType.Movable && (zone.FreeArea.Orders((int)MigrateType.Cma) >> order & 1) != 0;
            if (own || cma || Fallback.MayFallBack(zone, order, type))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether a failure of an order would be for want of memory (towards 0) or because of fragmentation (towards 1000); -1000 where a block is free, 0 where nothing is.</summary>
    public static long FragmentationIndex(Zone zone, int order)
    {
        (long pages, long blocks, long usablePages) = FreeBlocks(zone, order);
        return blocks == 0 ? 0 : usablePages != 0 ? -1000 : 1000 - ((1000 + (pages * 1000 / (1L << order))) / blocks);
    }

    /// <summary>A zone's free pages and blocks, and the pages of blocks that are at least as large as an order.</summary>
    public static (long Pages, long Blocks, long UsablePages) FreeBlocks(Zone zone, int minOrder)
    {
        long pages = 0;
        long blocks = 0;
        long usablePages = 0;
        for (int order = 0; order <= PageGeometry.MaxOrder; order++)
        {
            long free = zone.FreeBlocks(order);
            blocks += free;
            pages += free << order;
            usablePages += order >= minOrder ? free << order : 0;
        }

        return (pages, blocks, usablePages);
    }

    /// <summary>The part of a zone's free memory that is in blocks smaller than a huge page, in per cent (<c>extfrag_for_order()</c>).</summary>
    public static int Fragmentation(Zone zone)
    {
        long free = 0;
        long suitable = 0;
        for (int order = 0; order <= PageGeometry.MaxOrder; order++)
        {
            long pages = zone.FreeBlocks(order) << order;
            free += pages;
            suitable += order >= zone.PageblockOrder ? pages : 0;
        }

        return free == 0 ? 0 : (int)((free - suitable) * 100 / free);
    }

    /// <summary>The node's score: its zones' fragmentation weighted by their size (<c>fragmentation_score_node()</c>).</summary>
    public static int Score(Node node)
    {
        long present = 0;
        foreach (Zone zone in node.Zones)
        {
            present += zone.PresentPages;
        }

        int score = 0;
        foreach (Zone zone in node.Zones)
        {
            if (zone.IsPopulated)
            {
                score += (int)(zone.PresentPages * Fragmentation(zone) / (present + 1));
            }
        }

        return score;
    }

    /// <summary>The scores between which proactive compaction works.</summary>
    public static (int Low, int High) ScoreMarks(Machine machine)
    {
        int low = Math.Max(100 - machine.Settings.Sysctls.CompactionProactiveness, 5);
        return (low, Math.Min(low + 10, 100));
    }
}
