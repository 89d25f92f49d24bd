using System.Numerics;
using MemSim.Kernels;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>Which source gave the last block of a refill: the next one starts there.</summary>
internal enum FallbackStage
{
    /// <summary>The lists of the wanted type.</summary>
    Own,

    /// <summary>Contiguous memory areas.</summary>
    Cma,

    /// <summary>Single blocks of other types.</summary>
    Steal,
}

/// <summary>What happens when a migrate type has no free block: taking from another type, and the reserve for high-order atomic requests.</summary>
/// <remarks>The caller holds the zone's lock.</remarks>
internal abstract class Fallback
{
    private readonly bool _highAtomicInWholeBlocks;

    protected Fallback(Machine machine, BuddyLists buddy, AllocatorRules rules)
    {
        Machine = machine;
        Buddy = buddy;
        PageblockOrder = machine.ZoneTable.PageblockOrder;
        _highAtomicInWholeBlocks = rules.HighAtomicInWholeBlocks;
    }

    protected Machine Machine { get; }

    protected BuddyLists Buddy { get; }

    protected int PageblockOrder { get; }

    protected int PageblockPages => 1 << PageblockOrder;

    /// <summary>Whether <see cref="Take"/> counts the block it returns as taken, or leaves that to the caller.</summary>
    public abstract bool CountsTaken { get; }

    public static Fallback For(Machine machine, BuddyLists buddy, AllocatorRules rules) => rules.Fallback switch
    {
        FallbackRule.StealThenSearch => new StealThenSearch(machine, buddy, rules),
        FallbackRule.ClaimThenSteal => new ClaimThenSteal(machine, buddy, rules),
        _ => throw new ArgumentOutOfRangeException(nameof(rules)),
    };

    /// <summary>Takes a block: from its own type, from CMA where that is allowed, else from other types.</summary>
    /// <param name="cpu">The CPU that asks.</param>
    /// <param name="zone">The zone.</param>
    /// <param name="order">The order.</param>
    /// <param name="type">The wanted type.</param>
    /// <param name="flags">The rights of the attempt.</param>
    /// <param name="stage">What gave the last block of the same refill.</param>
    /// <returns>The first frame, or -1.</returns>
    public abstract int Take(Cpu cpu, Zone zone, int order, int type, AllocFlags flags, ref FallbackStage stage);

    /// <summary>CMA pages are there to be used: once they are more than half of what is free, requests that may go there first.</summary>
    protected static bool PrefersCma(Zone zone) => zone.FreeCmaPagesCount > zone.FreePagesForChecks / 2;

    /// <summary>Reserves the page block of an allocation for high-order atomic requests, up to about 1 % of the zone.</summary>
    public void ReserveHighAtomic(Cpu cpu, Zone zone, int pfn, int order)
    {
        int type = zone.BlockType(pfn);
        if (type >= PerCpuPages.PcpTypes || !zone.Rules.HasHighAtomicReserve || zone.HighAtomicReserved >= HighAtomicLimit(zone))
        {
            return;
        }

        if (!_highAtomicInWholeBlocks)
        {
            zone.HighAtomicReserved += PageblockPages;
            zone.SetBlockType(pfn, (int)MigrateType.HighAtomic);
            MoveFreePages(cpu, zone, pfn, (int)MigrateType.HighAtomic);
        }
        else if (order >= PageblockOrder)
        {
            Buddy.SetBlockTypes(zone, pfn, order, (int)MigrateType.HighAtomic);
            zone.HighAtomicReserved += 1 << order;
        }
        else if (WholePageblock(zone, pfn, out int start))
        {
            Buddy.MoveRange(zone, cpu.Lists.Pcp[zone.Id], start, start + PageblockPages, (int)MigrateType.HighAtomic);
            zone.SetBlockType(pfn, (int)MigrateType.HighAtomic);
            zone.HighAtomicReserved += PageblockPages;
        }
    }

    /// <summary>Gives one reserved page block back to ordinary use.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="zones">The zones of the request.</param>
    /// <param name="type">The migrate type the block gets.</param>
    /// <param name="force">Whether even the last reserved block of a zone is given back.</param>
    /// <returns>Whether free pages became usable.</returns>
    public bool UnreserveHighAtomic(Cpu cpu, Zonelist zones, int type, bool force)
    {
        foreach (Zone zone in zones.Zones)
        {
            if (!force && zone.HighAtomicReserved <= PageblockPages)
            {
                continue;
            }

            zone.EnterLock();
            try
            {
                uint orders = zone.FreeArea.Orders((int)MigrateType.HighAtomic);
                for (; orders != 0; orders &= orders - 1)
                {
                    int order = BitOperations.TrailingZeroCount(orders);
                    if (Unreserve(cpu, zone, zone.FreeArea.First(order, (int)MigrateType.HighAtomic), order, type))
                    {
                        return true;
                    }
                }
            }
            finally
            {
                zone.ExitLock();
            }
        }

        return false;
    }

    /// <summary>The types a request falls back to, in order (unmovable → reclaimable → movable; movable → reclaimable → unmovable; reclaimable → unmovable → movable).</summary>
    protected static (int First, int Second) Order(int type) => (MigrateType)type switch
    {
        MigrateType.Unmovable => ((int)MigrateType.Reclaimable, (int)MigrateType.Movable),
        MigrateType.Movable => ((int)MigrateType.Reclaimable, (int)MigrateType.Unmovable),
        _ => ((int)MigrateType.Unmovable, (int)MigrateType.Movable),
    };

    /// <summary>Whether a request may take over a page block of another type that has a free block of this order (<c>find_suitable_fallback()</c>).</summary>
    public static bool MayFallBack(Zone zone, int order, int type)
    {
        (int first, int second) = Order(type);
        return ((zone.FreeArea.Orders(first) | zone.FreeArea.Orders(second)) >> order & 1) != 0
            && (order >= zone.PageblockOrder / 2 || type is (int)MigrateType.Unmovable or (int)MigrateType.Reclaimable);
    }

    /// <summary>Moves the free blocks of the page block around a frame to another type's lists; none when the zone ends inside it.</summary>
    /// <returns>Pages moved.</returns>
    protected int MoveFreePages(Cpu cpu, Zone zone, int pfn, int type) => MoveFreePages(cpu, zone, pfn, type, out _);

    /// <summary>As above, and counts what is in use there and can be moved.</summary>
    protected int MoveFreePages(Cpu cpu, Zone zone, int pfn, int type, out int movable)
    {
        int start = pfn & ~(PageblockPages - 1);
        int end = start + PageblockPages;
        movable = 0;
        if (!zone.SpansIndex(start))
        {
            start = pfn;
        }

        return zone.SpansIndex(end - 1) ? Buddy.MoveRange(zone, cpu.Lists.Pcp[zone.Id], start, end, type, out movable) : 0;
    }

    /// <summary>Whether the page block around a frame lies in the zone as a whole.</summary>
    protected bool WholePageblock(Zone zone, int pfn, out int start)
    {
        start = pfn & ~(PageblockPages - 1);
        return zone.SpansIndex(start) && zone.SpansIndex(start + PageblockPages - 1);
    }

    /// <summary>Pages in use that are compatible with a block's new type: for a movable request those that can be moved, else, in a movable block, those that cannot.</summary>
    protected int AlikePages(int type, int old, int free, int movable) =>
        type == (int)MigrateType.Movable ? movable
        : old == (int)MigrateType.Movable ? PageblockPages - (free + movable)
        : 0;

    /// <summary>Boosts the zone's watermarks and leaves the news for kswapd where the request may wake it.</summary>
    protected void Boost(Zone zone, AllocFlags flags)
    {
        if (BoostWatermark(zone) && (flags & AllocFlags.Kswapd) != 0)
        {
            zone.Flags |= ZoneFlags.BoostedWatermark;
        }
    }

    private bool Unreserve(Cpu cpu, Zone zone, int pfn, int order, int type)
    {
        if (!_highAtomicInWholeBlocks)
        {
            if (zone.BlockType(pfn) == (int)MigrateType.HighAtomic)
            {
                zone.HighAtomicReserved -= Math.Min(PageblockPages, zone.HighAtomicReserved);
            }

            zone.SetBlockType(pfn, type);
            return MoveFreePages(cpu, zone, pfn, type) != 0;
        }

        zone.HighAtomicReserved -= Math.Min(Math.Max(PageblockPages, 1 << order), zone.HighAtomicReserved);
        if (order >= PageblockOrder)
        {
            Buddy.MoveToTail(zone, cpu.Lists.Pcp[zone.Id], pfn, order, type);
            Buddy.SetBlockTypes(zone, pfn, order, type);
            return true;
        }

        if (!WholePageblock(zone, pfn, out int start))
        {
            return false;
        }

        int moved = Buddy.MoveRange(zone, cpu.Lists.Pcp[zone.Id], start, start + PageblockPages, type, out _);
        zone.SetBlockType(pfn, type);
        return moved > 0;
    }

    private long HighAtomicLimit(Zone zone)
    {
        long share = zone.ManagedPages / 100;
        return !_highAtomicInWholeBlocks ? share + PageblockPages
            : share < PageblockPages ? 0
            : (share + PageblockPages - 1) & -(long)PageblockPages;
    }

    /// <summary>Raises the watermarks after a page block was mixed, so that kswapd makes room for whole blocks.</summary>
    private bool BoostWatermark(Zone zone)
    {
        long factor = Machine.ZoneTable.WatermarkBoostFactor;
        if (factor == 0 || PageblockPages * 4L > zone.ManagedPages)
        {
            return false;
        }

        long limit = (zone.MarkHigh / 10000 * factor) + (zone.MarkHigh % 10000 * factor / 10000);
        if (limit == 0)
        {
            return false;
        }

        zone.Boost = Math.Min(zone.Boost + PageblockPages, Math.Max(PageblockPages, limit));
        return true;
    }
}
