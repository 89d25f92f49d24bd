using System.Numerics;
using MemSim.Kernels;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>The fallback of 6.12 and later: a page block of another type is claimed as a whole where most of it fits, else a single block is stolen and nothing else changes.</summary>
/// <remarks>Within one refill the source is remembered: after a block was stolen the next is stolen too, without another look at the wanted lists.</remarks>
internal sealed class ClaimThenSteal : Fallback
{
    /// <summary>A movable request claims no page block for a block smaller than this.</summary>
    private readonly int _claimOrder;

    public ClaimThenSteal(Machine machine, BuddyLists buddy, AllocatorRules rules)
        : base(machine, buddy, rules)
    {
        _claimOrder = PageblockOrder / 2;
    }

    public override bool CountsTaken => true;

    public override int Take(Cpu cpu, Zone zone, int order, int type, AllocFlags flags, ref FallbackStage stage)
    {
        PerCpuPages pcp = cpu.Lists.Pcp[zone.Id];
        bool cma = zone.HasCma && (flags & AllocFlags.Cma) != 0;
        int pfn = cma && PrefersCma(zone) ? TakeCounted(zone, pcp, order, (int)MigrateType.Cma) : -1;
        if (pfn < 0 && stage == FallbackStage.Own)
        {
            pfn = TakeCounted(zone, pcp, order, type);
        }

        if (pfn < 0 && stage != FallbackStage.Steal)
        {
            pfn = cma ? TakeCounted(zone, pcp, order, (int)MigrateType.Cma) : -1;
            if (pfn >= 0)
            {
                stage = FallbackStage.Cma;
                return pfn;
            }

            pfn = Claim(cpu, zone, pcp, order, type, flags);
            stage = pfn >= 0 ? FallbackStage.Own : stage;
        }

        if (pfn < 0 && (flags & AllocFlags.NoFragment) == 0)
        {
            pfn = Steal(cpu, zone, pcp, order, type);
            stage = pfn >= 0 ? FallbackStage.Steal : stage;
        }

        return pfn;
    }

    private int TakeCounted(Zone zone, PerCpuPages pcp, int order, int type)
    {
        int pfn = Buddy.TakeSmallest(zone, pcp, order, type);
        if (pfn >= 0)
        {
            BuddyLists.CountFree(zone, pcp, -(1 << order), type);
        }

        return pfn;
    }

    /// <summary>Takes page blocks over, starting with the largest free block, and then a block from them.</summary>
    private int Claim(Cpu cpu, Zone zone, PerCpuPages pcp, int order, int type, AllocFlags flags)
    {
        (int first, int second) = Order(type);
        bool onlyWhole = order < PageblockOrder && (flags & AllocFlags.NoFragment) != 0;
        int lowest = onlyWhole ? PageblockOrder : type == (int)MigrateType.Movable ? Math.Max(order, _claimOrder) : order;
        for (int found = PageGeometry.MaxOrder; found >= lowest; found--)
        {
            int from = (zone.FreeArea.Orders(first) >> found & 1) != 0 ? first
                : (zone.FreeArea.Orders(second) >> found & 1) != 0 ? second
                : -1;
            if (from < 0)
            {
                continue;
            }

            int candidate = zone.FreeArea.First(found, from);
            int pfn = found >= PageblockOrder ? Buddy.TakeOver(zone, pcp, found, from, order, type) : ClaimPageblock(zone, pcp, candidate, from, order, type, flags);
            if (pfn >= 0)
            {
                Machine.Hooks.Trace?.MmPageAllocExtfrag(cpu, candidate, order, found, (MigrateType)type, (MigrateType)from, changeOwnership: true);
                return pfn;
            }
        }

        return -1;
    }

    private int ClaimPageblock(Zone zone, PerCpuPages pcp, int candidate, int from, int order, int type, AllocFlags flags)
    {
        // Types mix here, or would have: kswapd shall make room for whole page blocks.
        Boost(zone, flags);
        if (!WholePageblock(zone, candidate, out int start))
        {
            return -1;
        }

        int free = Buddy.CountRange(start, start + PageblockPages, out int movable);
        if (free + AlikePages(type, from, free, movable) < PageblockPages / 2)
        {
            return -1;
        }

        Buddy.MoveRange(zone, pcp, start, start + PageblockPages, type);
        zone.SetBlockType(candidate, type);
        return TakeCounted(zone, pcp, order, type);
    }

    /// <summary>Takes the smallest sufficient block of another type; what is left of it stays where it was.</summary>
    private int Steal(Cpu cpu, Zone zone, PerCpuPages pcp, int order, int type)
    {
        (int first, int second) = Order(type);
        uint orders = (zone.FreeArea.Orders(first) | zone.FreeArea.Orders(second)) >> order << order;
        if (orders == 0)
        {
            return -1;
        }

        int found = BitOperations.TrailingZeroCount(orders);
        int from = (zone.FreeArea.Orders(first) >> found & 1) != 0 ? first : second;
        int pfn = TakeCounted(zone, pcp, order, from);
        Machine.Hooks.Trace?.MmPageAllocExtfrag(cpu, pfn, order, found, (MigrateType)type, (MigrateType)from, changeOwnership: zone.BlockType(pfn) == type);
        return pfn;
    }
}
