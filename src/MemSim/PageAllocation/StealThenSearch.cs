using System.Numerics;
using MemSim.Kernels;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>The fallback of 6.1: the largest block of another type is moved to the wanted lists, with as much of its page block as there is, and the search begins anew.</summary>
internal sealed class StealThenSearch : Fallback
{
    /// <summary>Below this order a movable request rather takes the smallest block than the largest.</summary>
    private readonly int _stealOrder;

    public StealThenSearch(Machine machine, BuddyLists buddy, AllocatorRules rules)
        : base(machine, buddy, rules)
    {
        _stealOrder = PageblockOrder / 2;
    }

    public override bool CountsTaken => false;

    public override int Take(Cpu cpu, Zone zone, int order, int type, AllocFlags flags, ref FallbackStage stage)
    {
        PerCpuPages pcp = cpu.Lists.Pcp[zone.Id];
        bool cma = zone.HasCma && (flags & AllocFlags.Cma) != 0;
        if (cma && PrefersCma(zone))
        {
            int fromCma = Buddy.TakeSmallest(zone, pcp, order, (int)MigrateType.Cma);
            if (fromCma >= 0)
            {
                return fromCma;
            }
        }

        while (true)
        {
            int pfn = Buddy.TakeSmallest(zone, pcp, order, type);
            if (pfn < 0 && cma)
            {
                pfn = Buddy.TakeSmallest(zone, pcp, order, (int)MigrateType.Cma);
            }

            // What was stolen lies in the wanted lists now: search those again, since the block handed out need not be the one found.
            if (pfn >= 0 || !Steal(cpu, zone, order, type, flags))
            {
                return pfn;
            }
        }
    }

    /// <summary>Makes at least one block of another type available to the wanted type.</summary>
    /// <returns>Whether one was found.</returns>
    private bool Steal(Cpu cpu, Zone zone, int order, int type, AllocFlags flags)
    {
        (int first, int second) = Order(type);
        uint firstOrders = zone.FreeArea.Orders(first);
        uint secondOrders = zone.FreeArea.Orders(second);

        // A block as large as a page block can be taken without mixing types in it; a request that must not mix wants nothing smaller.
        int lowest = order < PageblockOrder && (flags & AllocFlags.NoFragment) != 0 ? PageblockOrder : order;
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
        Machine.Interleaver?.Pass("StealThenSearch.Steal");
        StealBlock(cpu, zone, pfn, found, type, whole, flags);
        if (Machine.Hooks.Trace is { } trace)
        {
            trace.MmPageAllocExtfrag(cpu, pfn, order, found, (MigrateType)type, (MigrateType)from, zone.BlockType(pfn) == type);
        }

        return true;
    }

    /// <summary>Whether a request of this type may take over the whole page block around a free block of this order.</summary>
    private bool MaySteal(int order, int type) =>
        order >= _stealOrder || type is (int)MigrateType.Unmovable or (int)MigrateType.Reclaimable;

    private void StealBlock(Cpu cpu, Zone zone, int pfn, int order, int type, bool whole, AllocFlags flags)
    {
        int old = zone.BlockType(pfn);
        if (old == (int)MigrateType.HighAtomic)
        {
            Buddy.MoveToTail(zone, cpu.Lists.Pcp[zone.Id], pfn, order, type);
            return;
        }

        if (order >= PageblockOrder)
        {
            Buddy.SetBlockTypes(zone, pfn, order, type);
            Buddy.MoveToTail(zone, cpu.Lists.Pcp[zone.Id], pfn, order, type);
            return;
        }

        Boost(zone, flags);
        int free = whole ? MoveFreePages(cpu, zone, pfn, type, out int movable) : (movable = 0);
        if (free == 0)
        {
            Buddy.MoveToTail(zone, cpu.Lists.Pcp[zone.Id], pfn, order, type);
            return;
        }

        if (free + AlikePages(type, old, free, movable) >= PageblockPages / 2)
        {
            zone.SetBlockType(pfn, type);
        }
    }
}
