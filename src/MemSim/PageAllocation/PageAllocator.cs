using System.Runtime.CompilerServices;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>The page allocator: the fast path of an allocation and of a free. What they need when it gets difficult is in the other parts of this class.</summary>
/// <remarks>Kernel 6.1: <c>__alloc_pages()</c>, <c>get_page_from_freelist()</c>, <c>rmqueue()</c>, <c>free_unref_page()</c>.</remarks>
internal sealed partial class PageAllocator
{
    private const Gfp PrepFlags = Gfp.Zero | Gfp.Comp;

    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly BuddyLists _buddy;
    private readonly Fallback _fallback;
    private readonly PcpLists _pcpLists;
    private readonly int _pageblockOrder;
    private readonly bool _parallel;

    public PageAllocator(Machine machine, FrameArray frames, int pageblockOrder, bool parallel)
    {
        _machine = machine;
        _frames = frames;
        _pageblockOrder = pageblockOrder;
        _parallel = parallel;
        _buddy = new BuddyLists(frames, pageblockOrder);
        _fallback = new Fallback(machine, _buddy, pageblockOrder);
        _pcpLists = new PcpLists(machine, frames, _buddy, _fallback, pageblockOrder);
    }

    public BuddyLists Buddy => _buddy;

    /// <summary>Allocates from the zones of a request, in whatever context the CPU is.</summary>
    /// <returns>The first frame, or -1.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Allocate(Cpu cpu, Gfp gfp, int order)
    {
        if (cpu.IsSpecial || (uint)order > PageGeometry.MaxOrder || (gfp & (Gfp.ThisNode | ~Gfp.BitsMask)) != 0)
        {
            return AllocateChecked(cpu, gfp, order, node: null);
        }

        return AllocateFrom(cpu, cpu.Zonelists[(int)(gfp & Gfp.ZoneMask)], gfp, order);
    }

    /// <summary>The fast path: the first zone of the list at its low watermark, from the CPU's own lists where the order has them.</summary>
    public int AllocateFrom(Cpu cpu, Zonelist zonelist, Gfp gfp, int order)
    {
        Zone[] zones = zonelist.Zones;
        int type = (int)((uint)gfp >> 3) & 3;
        if (zones.Length != 0 && type != (int)MigrateType.HighAtomic && (!zonelist.AvoidsFragmentation || (gfp & Gfp.KswapdReclaim) == 0))
        {
            Zone zone = zones[0];
            AllocFlags flags = AllocFlags.WatermarkLow | (AllocFlags)(gfp & Gfp.KswapdReclaim);
            if (!zone.HasCma && WatermarkCheck.Passes(zone, order, zone.MarkLow + zone.Boost, zonelist.HighestZoneIndex, flags, gfp))
            {
                int pfn = TakeFromZone(cpu, zone, order, type, flags);
                if (pfn >= 0)
                {
                    Finish(cpu, zone, zone, pfn, gfp, order, type);
                    return pfn;
                }

                return AllocateGeneral(new Request(cpu, zonelist, gfp, order), firstZone: 1);
            }
        }

        return AllocateGeneral(new Request(cpu, zonelist, gfp, order), firstZone: 0);
    }

    /// <summary>Takes a block from a zone that passed the watermark check (<c>rmqueue()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int TakeFromZone(Cpu cpu, Zone zone, int order, int type, AllocFlags flags)
    {
        int pfn = order <= PageGeometry.CostlyOrder || order == _pageblockOrder ? TakeFromPcp(cpu, cpu.Pcp[zone.Id], order, type, flags) : -1;
        if (pfn < 0)
        {
            pfn = TakeFromBuddy(cpu, zone, order, type, flags);
        }

        if ((zone.Flags & ZoneFlags.BoostedWatermark) != 0)
        {
            WakeForBoost(cpu, zone, flags);
        }

        return pfn;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WakeForBoost(Cpu cpu, Zone zone, AllocFlags flags)
    {
        if ((flags & AllocFlags.Kswapd) != 0)
        {
            zone.Flags &= ~ZoneFlags.BoostedWatermark;
            _machine.Reclaim.WakeKswapd(zone, new ReclaimRequest(cpu, Gfp.None, 0, zone.Index, [zone]));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int TakeFromPcp(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags)
    {
        if (_parallel)
        {
            pcp.Lock.Enter();
        }

        pcp.FreeFactor >>= 1;
        int pfn = PopPcp(cpu, pcp, order, type, flags);
        if (_parallel)
        {
            pcp.Lock.Exit();
        }

        return pfn;
    }

    /// <summary>Takes the front of a per-CPU list, refilling it first when it is empty.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int PopPcp(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags)
    {
        int list = pcp.FirstHead + PerCpuPages.ListIndex(order, type);
        ref PageFrame head = ref _frames[list];
        int pfn = head.Next;
        if (pfn == list)
        {
            if (!_pcpLists.Refill(cpu, pcp, order, type, flags))
            {
                return -1;
            }

            pfn = head.Next;
        }

        int next = _frames[pfn].Next;
        head.Next = next;
        _frames[next].Prev = list;
        pcp.Count -= 1 << order;
        return pfn;
    }

    /// <summary>Takes a block from the free lists directly, by the rights of the request.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int TakeFromBuddy(Cpu cpu, Zone zone, int order, int type, AllocFlags flags)
    {
        PerCpuPages pcp = cpu.Pcp[zone.Id];
        _machine.Lock(zone);
        int pfn = -1;
        int from = (int)MigrateType.HighAtomic;
        if ((flags & AllocFlags.HighAtomic) != 0)
        {
            pfn = _buddy.TakeSmallest(zone, order, (int)MigrateType.HighAtomic);
        }

        if (pfn < 0)
        {
            from = type;
            pfn = _fallback.Take(cpu, zone, order, type, flags);
            if (pfn < 0 && (flags & (AllocFlags.Oom | AllocFlags.NonBlock)) != 0)
            {
                from = (int)MigrateType.HighAtomic;
                pfn = _buddy.TakeSmallest(zone, order, (int)MigrateType.HighAtomic);
            }
        }

        if (pfn >= 0)
        {
            bool cma = zone.HasCma && zone.BlockType(pfn) == (int)MigrateType.Cma;
            BuddyLists.CountFree(zone, pcp, -(1 << order), cma ? (int)MigrateType.Cma : type);
            _machine.Trace?.MmPageAllocZoneLocked(cpu, pfn, order, (MigrateType)from, percpuRefill: false);
        }

        _machine.Unlock(zone);
        return pfn;
    }

    /// <summary>Makes the frame of a block an allocated one and counts it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Finish(Cpu cpu, Zone zone, Zone preferred, int pfn, Gfp gfp, int order, int type)
    {
        _frames[pfn].State = PageFrame.OneReference | (uint)order;
        PerCpuPages pcp = cpu.Pcp[zone.Id];
        pcp.PagesAllocated += 1L << order;
        if (zone == preferred)
        {
            pcp.NumaHit++;
        }
        else
        {
            CountRemote(cpu, zone, preferred);
        }

        if ((gfp & PrepFlags) != 0)
        {
            Prepare(pfn, gfp, order);
        }

        _machine.Trace?.MmPageAlloc(cpu, pfn, order, (MigrateType)type, gfp);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Prepare(int pfn, Gfp gfp, int order)
    {
        if ((gfp & Gfp.Comp) != 0 && order > 0)
        {
            _frames[pfn].FlagsAndZone |= (uint)PageFlags.Head;
        }

        if ((gfp & Gfp.Zero) != 0)
        {
            _machine.Memory.Zero(pfn, 1L << order);
        }
    }

    private static void CountRemote(Cpu cpu, Zone zone, Zone preferred)
    {
        // A zone of the preferred node is a hit even when it is not the preferred zone.
        PerCpuPages pcp = cpu.Pcp[zone.Id];
        if (zone.Node == preferred.Node)
        {
            pcp.NumaHit++;
        }
        else
        {
            pcp.NumaMiss++;
            cpu.Pcp[preferred.Id].NumaForeign++;
        }
    }

    /// <summary>Frees a block that passed the checks: into the CPU's own lists where the order has them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void FreeBlock(Cpu cpu, int pfn, int order)
    {
        ref PageFrame frame = ref _frames[pfn];
        PerCpuPages pcp = cpu.Pcp[frame.ZoneId];
        _machine.Trace?.MmPageFree(cpu, pfn, order);
        int type = pcp.Zone.BlockType(pfn);
        if (order <= PageGeometry.CostlyOrder || order == _pageblockOrder)
        {
            FreeToPcp(cpu, pcp, pfn, order, type);
        }
        else
        {
            FreeToBuddy(pcp, pfn, order, type);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FreeToPcp(Cpu cpu, PerCpuPages pcp, int pfn, int order, int type)
    {
        int listType = type;
        if (type >= PerCpuPages.PcpTypes)
        {
            if (type == (int)MigrateType.Isolate)
            {
                FreeToBuddy(pcp, pfn, order, type);
                return;
            }

            listType = (int)MigrateType.Movable;
        }

        if (_parallel)
        {
            pcp.Lock.Enter();
        }

        ref PageFrame frame = ref _frames[pfn];
        frame.Identity = frame.FlagsAndZone & ~(uint)PageFlags.StoredMask;
        frame.State = PageFrame.PcpState;
        frame.Index = (uint)type;
        int list = PerCpuPages.ListIndex(order, listType);
        _frames.AddFirst(pcp.FirstHead + list, pfn);
        int count = pcp.Count + (1 << order);
        pcp.Count = count;
        if (count >= pcp.High || (pcp.FreeFactor != 0 && order != 0) || (pcp.Zone.Flags & ZoneFlags.ReclaimActive) != 0)
        {
            _pcpLists.TrimAfterFree(cpu, pcp, order, list);
        }

        if (_parallel)
        {
            pcp.Lock.Exit();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeToBuddy(PerCpuPages pcp, int pfn, int order, int type)
    {
        Zone zone = pcp.Zone;
        ref PageFrame frame = ref _frames[pfn];
        frame.Identity = PageFrame.FreeIdentity(zone.Id, 0);
        frame.State = 0;
        _machine.Lock(zone);
        _buddy.Free(zone, pcp, pfn, order, type);
        _machine.Unlock(zone);
    }

    /// <summary>Drains a CPU's lists of a zone completely.</summary>
    public void DrainAll(Cpu cpu, PerCpuPages pcp) => Drain(cpu, pcp, pcp.Count);

    /// <summary>Drains at most a batch of a CPU's lists of a zone (<c>drain_zone_pages()</c>, the periodic shrinking of remote lists).</summary>
    public void DrainBatch(Cpu cpu, PerCpuPages pcp) => Drain(cpu, pcp, Math.Min(pcp.Count, pcp.Batch));

    private void Drain(Cpu cpu, PerCpuPages pcp, int pages)
    {
        if (_parallel)
        {
            pcp.Lock.Enter();
        }

        if (pcp.Count != 0)
        {
            _pcpLists.Drain(cpu, pcp, pages, 0);
        }

        if (_parallel)
        {
            pcp.Lock.Exit();
        }
    }
}
