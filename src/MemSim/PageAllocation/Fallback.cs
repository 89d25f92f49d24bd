using System.Numerics;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>What happens when a migrate type has no free block: stealing from another type, and the reserve for high-order atomic requests.</summary>
/// <remarks>The caller holds the zone's lock. Rules of 6.1 ("fallback", "steal", "watermark boost").</remarks>
internal sealed class Fallback
{
    /// <summary>Below this order a movable request rather takes the smallest block than the largest.</summary>
    private readonly int _stealOrder;

    private readonly BuddyLists _buddy;
    private readonly int _pageblockOrder;
    private readonly Machine _machine;

    public Fallback(Machine machine, BuddyLists buddy, int pageblockOrder)
    {
        _machine = machine;
        _buddy = buddy;
        _pageblockOrder = pageblockOrder;
        _stealOrder = pageblockOrder / 2;
    }

    private int PageblockPages => 1 << _pageblockOrder;

    /// <summary>Takes a block: from its own type, from CMA where that is allowed, else by stealing from other types.</summary>
    /// <returns>The first frame, or -1.</returns>
    public int Take(Cpu cpu, Zone zone, int order, int type, AllocFlags flags)
    {
        // CMA pages are there to be used: once they are more than half of what is free, movable requests go there first.
        bool cma = zone.HasCma && (flags & AllocFlags.Cma) != 0;
        if (cma && zone.FreeCmaPagesCount > zone.FreePagesForChecks / 2)
        {
            int fromCma = _buddy.TakeSmallest(zone, order, (int)MigrateType.Cma);
            if (fromCma >= 0)
            {
                return fromCma;
            }
        }

        while (true)
        {
            int pfn = _buddy.TakeSmallest(zone, order, type);
            if (pfn < 0 && cma)
            {
                pfn = _buddy.TakeSmallest(zone, order, (int)MigrateType.Cma);
            }

            // What was stolen lies in the wanted lists now: search those again, since the block handed out need not be the one found.
            if (pfn >= 0 || !Steal(cpu, zone, order, type, flags))
            {
                return pfn;
            }
        }
    }

    /// <summary>Reserves the page block of an allocation for high-order atomic requests, up to about 1 % of the zone.</summary>
    public void ReserveHighAtomic(Zone zone, int pfn)
    {
        long limit = (zone.ManagedPages / 100) + PageblockPages;
        int type = zone.BlockType(pfn);
        if (zone.HighAtomicReserved >= limit || type >= PerCpuPages.PcpTypes)
        {
            return;
        }

        zone.HighAtomicReserved += PageblockPages;
        zone.SetBlockType(pfn, (int)MigrateType.HighAtomic);
        MoveFreePages(zone, pfn, (int)MigrateType.HighAtomic, out _);
    }

    /// <summary>Gives one reserved page block back to ordinary use.</summary>
    /// <param name="zones">The zones of the request.</param>
    /// <param name="type">The migrate type the block gets.</param>
    /// <param name="force">Whether even the last reserved block of a zone is given back.</param>
    /// <returns>Whether free pages became usable.</returns>
    public bool UnreserveHighAtomic(Zonelist zones, int type, bool force)
    {
        foreach (Zone zone in zones.Zones)
        {
            if (!force && zone.HighAtomicReserved <= PageblockPages)
            {
                continue;
            }

            _machine.Lock(zone);
            try
            {
                uint orders = zone.FreeArea.Orders((int)MigrateType.HighAtomic);
                for (; orders != 0; orders &= orders - 1)
                {
                    int pfn = zone.FreeArea.First(BitOperations.TrailingZeroCount(orders), (int)MigrateType.HighAtomic);
                    if (zone.BlockType(pfn) == (int)MigrateType.HighAtomic)
                    {
                        zone.HighAtomicReserved -= Math.Min(PageblockPages, zone.HighAtomicReserved);
                    }

                    zone.SetBlockType(pfn, type);
                    if (MoveFreePages(zone, pfn, type, out _) != 0)
                    {
                        return true;
                    }
                }
            }
            finally
            {
                _machine.Unlock(zone);
            }
        }

        return false;
    }

    /// <summary>Moves the free blocks of the page block around a frame to another type's lists.</summary>
    /// <returns>Pages moved; 0 also when the page block is cut by the end of the zone.</returns>
    public int MoveFreePages(Zone zone, int pfn, int type, out int movable)
    {
        int start = pfn & ~(PageblockPages - 1);
        int end = start + PageblockPages;
        movable = 0;
        if (!zone.SpansIndex(start))
        {
            start = pfn;
        }

        return zone.SpansIndex(end - 1) ? _buddy.MoveRange(zone, start, end, type, out movable) : 0;
    }

    /// <summary>The types a request falls back to, in order (6.1: unmovable → reclaimable → movable; movable → reclaimable → unmovable; reclaimable → unmovable → movable).</summary>
    private static (int First, int Second) Order(int type) => (MigrateType)type switch
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

    /// <summary>Makes at least one block of another type available to the wanted type.</summary>
    /// <returns>Whether one was found.</returns>
    private bool Steal(Cpu cpu, Zone zone, int order, int type, AllocFlags flags)
    {
        (int first, int second) = Order(type);
        uint firstOrders = zone.FreeArea.Orders(first);
        uint secondOrders = zone.FreeArea.Orders(second);

        // A block as large as a page block can be taken without mixing types in it; a request that must not mix wants nothing smaller.
        int lowest = order < _pageblockOrder && (flags & AllocFlags.NoFragment) != 0 ? _pageblockOrder : order;
        uint candidates = (firstOrders | secondOrders) >> lowest << lowest;
        if (candidates == 0)
        {
            return false;
        }

        int found = BitOperations.Log2(candidates);
        bool whole = MaySteal(found, type);
        if (!whole && type == (int)MigrateType.Movable && found > order)
        {
            // Movable pages can be moved away again: take as little as possible rather than break up a large block.
            found = BitOperations.TrailingZeroCount((firstOrders | secondOrders) >> order << order);
            whole = MaySteal(found, type);
        }

        int from = (firstOrders >> found & 1) != 0 ? first : second;
        int pfn = zone.FreeArea.First(found, from);
        StealBlock(zone, pfn, found, type, whole, flags);
        if (_machine.Trace is { } trace)
        {
            trace.MmPageAllocExtfrag(cpu, pfn, order, found, (MigrateType)type, (MigrateType)from, zone.BlockType(pfn) == type);
        }

        return true;
    }

    /// <summary>Whether a request of this type may take over the whole page block around a free block of this order.</summary>
    private bool MaySteal(int order, int type) =>
        order >= _stealOrder || type is (int)MigrateType.Unmovable or (int)MigrateType.Reclaimable;

    private void StealBlock(Zone zone, int pfn, int order, int type, bool whole, AllocFlags flags)
    {
        int old = zone.BlockType(pfn);
        if (old == (int)MigrateType.HighAtomic)
        {
            _buddy.MoveToTail(zone, pfn, order, type);
            return;
        }

        if (order >= _pageblockOrder)
        {
            for (int block = pfn; block < pfn + (1 << order); block += PageblockPages)
            {
                zone.SetBlockType(block, type);
            }

            _buddy.MoveToTail(zone, pfn, order, type);
            return;
        }

        if (BoostWatermark(zone) && (flags & AllocFlags.Kswapd) != 0)
        {
            zone.Flags |= ZoneFlags.BoostedWatermark;
        }

        int free = whole ? MoveFreePages(zone, pfn, type, out int movable) : (movable = 0);
        if (free == 0)
        {
            _buddy.MoveToTail(zone, pfn, order, type);
            return;
        }

        // Pages in use that are compatible with the new type: for a movable request those that can be moved, else, in a movable block, those that cannot.
        int alike = type == (int)MigrateType.Movable ? movable
            : old == (int)MigrateType.Movable ? PageblockPages - (free + movable)
            : 0;
        if (free + alike >= PageblockPages / 2)
        {
            zone.SetBlockType(pfn, type);
        }
    }

    /// <summary>Raises the watermarks after a page block was mixed, so that kswapd makes room for whole blocks.</summary>
    private bool BoostWatermark(Zone zone)
    {
        long factor = _machine.WatermarkBoostFactor;
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
