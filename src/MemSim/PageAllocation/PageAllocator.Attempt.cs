using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>One attempt over all zones of a request, and the checks before the first.</summary>
internal sealed partial class PageAllocator
{
    /// <summary>A request that names its node (<c>alloc_pages_node()</c>): where nothing is out of the ordinary, from the first zone of that node's list.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public int AllocateNear(Cpu cpu, Gfp gfp, int order, Node node)
    {
        int type = (int)((uint)gfp >> 3) & 3;
        bool isPlain = cpu.Mode is CpuMode.Plain or CpuMode.Parallel && (uint)order <= PageGeometry.CostlyOrder && (gfp & (Gfp.ThisNode | ~Gfp.BitsMask)) == 0 && type != (int)MigrateType.HighAtomic
            && !_rules.RemembersBelowHigh && !_rules.HighAtomicFirst && (cpu.Mode == CpuMode.Plain || !_machine.ZoneTable.DefragMode);
        Zonelist zonelist = node.Zonelists[(int)(gfp & Gfp.ZoneMask)];
        if (!isPlain || zonelist.IsIllegal || zonelist.Zones.Length == 0)
        {
            return AllocateChecked(cpu, gfp, order, node);
        }

        Zone zone = zonelist.Zones[0];
        if (zone.NeedsFullCheck || !WatermarkCheck.PassesQuickly(zone, order, zonelist.HighestZoneIndex))
        {
            return AllocateChecked(cpu, gfp, order, node);
        }

        AllocFlags flags = AllocFlags.WatermarkLow | (AllocFlags)(gfp & Gfp.KswapdReclaim) | (zonelist.AvoidsFragmentation ? AllocFlags.NoFragment : 0);
        PerCpuPages pcp = cpu.Lists.Pcp[zone.Id];
        int pfn = cpu.Mode == CpuMode.Plain ? TakeFromZone<PlainPath>(cpu, zone, pcp, order, type, flags) : TakeFromZone<ParallelPath>(cpu, zone, pcp, order, type, flags);
        if (pfn < 0)
        {
            return AllocateGeneral(cpu, zonelist, gfp, order, firstZone: 1);
        }

        pcp.NumaHit++;
        Finish<PlainPath>(cpu, pcp, pfn, gfp, order, type);
        return pfn;
    }

    /// <summary>The way in for every request that is not plain: special context, another node, a policy, a bad order.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public int AllocateChecked(Cpu cpu, Gfp gfp, int order, Node? node)
    {
        int pfn;
        Callouts callouts = _machine.Callouts;
        callouts.Begin();
        try
        {
            pfn = AllocateCheckedCore(cpu, gfp, order, node);
        }
        catch
        {
            callouts.End();
            throw;
        }

        callouts.End();
        return callouts.MayHold ? Conclude(cpu, pfn, order) : pfn;
    }

    private int AllocateCheckedCore(Cpu cpu, Gfp gfp, int order, Node? node)
    {
        if (!MayTry(cpu, gfp, order))
        {
            return -1;
        }

        gfp = InContext(cpu, gfp);
        if (order > PageGeometry.MaxOrder)
        {
            // The kernel warns once and fails: an order that large can come from a size that a user chose.
            _hooks.FailureReports.OrderTooLarge(cpu, gfp, order);
            return -1;
        }

        if (node is null)
        {
            node = cpu.Node;
            if (cpu.Current.Policy is { } policy && !cpu.Context.InInterrupt && (gfp & Gfp.ThisNode) == 0)
            {
                return ByPolicy(cpu, gfp, order, policy, index: -1);
            }
        }

        return AllocateOnNode(cpu, gfp, order, node, ulong.MaxValue);
    }

    /// <summary>A page for an area of a process (<c>vma_alloc_folio()</c>): a policy that interleaves chooses the node by the page's index.</summary>
    public int AllocateByPolicy(Cpu cpu, Gfp gfp, int order, MemoryPolicy policy, long index) =>
        MayTry(cpu, gfp, order) ? ByPolicy(cpu, InContext(cpu, gfp), order, policy, index) : -1;

    private bool MayTry(Cpu cpu, Gfp gfp, int order)
    {
        _machine.ThrowIfDisposed();
        return _machine.Bugs.CheckRequest(cpu, gfp, order) && !_hooks.FaultInjector.FailsPages(cpu, gfp, order);
    }

    private int AllocateOnNode(Cpu cpu, Gfp gfp, int order, Node node, ulong nodeMask)
    {
        Zonelist zonelist = ((gfp & Gfp.ThisNode) != 0 ? node.ThisNodeZonelists : node.Zonelists)[(int)(gfp & Gfp.ZoneMask)];
        return AllocateGeneral(new Request(cpu, zonelist, gfp, order, nodeMask, CpusetOf(cpu)), firstZone: 0);
    }

    /// <summary>The nodes of the current task's cpuset; interrupts are nobody's.</summary>
    private static ulong CpusetOf(Cpu cpu) => cpu.Context.InInterrupt ? ulong.MaxValue : cpu.Current.AllowedNodes;

    /// <summary>Allocates where a policy wants it; interleaving chooses the node by the page's index, or the next in turn when that is -1.</summary>
    private int ByPolicy(Cpu cpu, Gfp gfp, int order, MemoryPolicy policy, long index)
    {
        Node node = cpu.Node;
        switch (policy.Mode)
        {
            case MemoryPolicyMode.Interleave or MemoryPolicyMode.WeightedInterleave:
                InterleaveWeights weights = _machine.ZoneTable.InterleaveWeights;
                node = _machine.ZoneTable.NodeOrDefault(index < 0 ? policy.NextInterleaved(weights) : policy.InterleavedAt(index, MemoryNodes(), weights)) ?? node;
                int pfn = AllocateOnNode(cpu, gfp, order, node, ulong.MaxValue);
                if (pfn >= 0)
                {
                    PerCpuPages pcp = cpu.Lists.Pcp[_frames[pfn].ZoneId];
                    pcp.NumaInterleave += pcp.Zone.Node == node ? 1 : 0;
                }

                return pfn;
            case MemoryPolicyMode.Preferred:
                return AllocateOnNode(cpu, gfp, order, _machine.ZoneTable.NodeOrDefault(policy.FirstNode) ?? node, ulong.MaxValue);
            default:
                // A binding that has no memory in the zones the request can use would make it fail for no reason the task can change.
                Zonelist zonelist = node.Zonelists[(int)(gfp & Gfp.ZoneMask)];
                bool possible = new Request(cpu, zonelist, gfp, order, policy.NodeMask, CpusetOf(cpu)).Preferred is not null;
                return AllocateOnNode(cpu, gfp, order, node, possible ? policy.NodeMask : ulong.MaxValue);
        }
    }

    /// <summary>The nodes that have memory.</summary>
    internal ulong MemoryNodes()
    {
        ulong nodes = 0;
        foreach (Node node in _machine.Nodes)
        {
            nodes |= node.Zones.Count != 0 ? 1UL << node.Id : 0;
        }

        return nodes;
    }

    /// <summary>The flags that the current task's scopes leave (<c>current_gfp_context()</c>).</summary>
    internal static Gfp InContext(Cpu cpu, Gfp gfp)
    {
        TaskFlags task = cpu.Current.Flags;
        gfp = (task & TaskFlags.MemAllocPin) != 0 ? gfp & ~Gfp.Movable : gfp;
        return (task & TaskFlags.MemAllocNoIo) != 0 ? gfp & ~(Gfp.Io | Gfp.Fs)
            : (task & TaskFlags.MemAllocNoFs) != 0 ? gfp & ~Gfp.Fs
            : gfp;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private int AllocateGeneral(Cpu cpu, Zonelist zonelist, Gfp gfp, int order, int firstZone) =>
        AllocateGeneral(new Request(cpu, zonelist, gfp, order), firstZone);

    private int AllocateGeneral(in Request request, int firstZone)
    {
        Gfp gfp = request.Gfp;
        if (request.Type == (int)MigrateType.HighAtomic)
        {
            _machine.Bugs.IllegalFlags(request.Cpu, gfp, "__GFP_MOVABLE and __GFP_RECLAIMABLE each name a migrate type");
            return -1;
        }

        if (request.Zonelist.IsIllegal)
        {
            _machine.Bugs.IllegalFlags(request.Cpu, gfp, "the zone modifiers contradict each other (Debian's kernel would take ZONE_DMA)");
            return -1;
        }

        AllocFlags flags = AllocFlags.WatermarkLow | (AllocFlags)(gfp & Gfp.KswapdReclaim) | CmaRight(request) | FirstHighAtomicRight(gfp, request.Order);
        if (request.Zonelist.AvoidsFragmentation || _machine.ZoneTable.DefragMode)
        {
            flags |= AllocFlags.NoFragment;
        }

        int pfn = Attempt(request, flags, firstZone);
        return pfn >= 0 ? pfn : AllocateCarefully(request);
    }

    /// <summary>The slow path, which may move pages of owners that throw.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int AllocateCarefully(in Request request)
    {
        int pfn;
        DriverGuard? drivers = request.Cpu.Context.Drivers;
        drivers?.Enter();

        // It refuses only where the machine has one driver, and no CPU one of its own.
        _machine.Callouts.Begin();
        try
        {
            pfn = AllocateSlow(request.InSlowPath());
        }
        finally
        {
            _machine.Callouts.End();
            drivers?.Leave();
        }

        return Conclude(request.Cpu, pfn, request.Order);
    }

    /// <summary>Some kernels let a request that may use the reserve for high-order atomic requests do so from its first attempt on.</summary>
    private AllocFlags FirstHighAtomicRight(Gfp gfp, int order) =>
        _rules.HighAtomicFirst && order > 0 && (gfp & (Gfp.High | Gfp.DirectReclaim | Gfp.NoMemAlloc)) == Gfp.High ? AllocFlags.HighAtomic : 0;

    /// <summary>Whether the page block of a block taken with these rights may be reserved: only the later attempts extend the reserve.</summary>
    private static bool MayReserve(int order, AllocFlags flags) =>
        order > 0 && (flags & AllocFlags.HighAtomic) != 0 && (flags & AllocFlags.WatermarkMask) == AllocFlags.WatermarkMin;

    internal static AllocFlags CmaRight(in Request request) => request.Type == (int)MigrateType.Movable ? AllocFlags.Cma : 0;

    /// <summary>Visits the zones of a request in order and takes the block from the first that passes its watermark (<c>get_page_from_freelist()</c>).</summary>
    private int Attempt(in Request request, AllocFlags flags, int firstZone = 0)
    {
        Zone[] zones = request.Zonelist.Zones;
        Zone? preferred = request.Preferred;
        while (true)
        {
            for (int i = firstZone; i < zones.Length; i++)
            {
                Zone zone = zones[i];
                if (!request.Allows(zone))
                {
                    continue;
                }

                if ((flags & AllocFlags.NoFragment) != 0 && !_machine.ZoneTable.DefragMode && zone.Node != preferred!.Node)
                {
                    // Remote memory costs more than a mixed page block: allow mixing at home first.
                    break;
                }

                if (!IsAboveHigh(request, zone, flags) && !Passes(request, zone, flags) && !PassesAfterNodeReclaim(request, zone, flags))
                {
                    continue;
                }

                PerCpuPages pcp = request.Cpu.Lists.Pcp[zone.Id];
                int pfn = TakeFromZone<ObservedPath>(request.Cpu, zone, pcp, request.Order, request.Type, flags);
                if (pfn >= 0)
                {
                    CountPlace(request.Cpu, zone, preferred!);
                    Finish<ObservedPath>(request.Cpu, pcp, pfn, request.Gfp, request.Order, request.Type);
                    if (_rules.ReservesAfterPcpHit && MayReserve(request.Order, flags))
                    {
                        ReserveHighAtomic(request.Cpu, zone, pfn, request.Order);
                    }

                    return pfn;
                }
            }

            if ((flags & AllocFlags.NoFragment) == 0 || _machine.ZoneTable.DefragMode)
            {
                return -1;
            }

            flags &= ~AllocFlags.NoFragment;
            firstZone = 0;
        }
    }

    /// <summary>Makes a block that was caught on its way to the free lists the request's (<c>prep_new_page()</c>): it counts neither as allocated nor as freed.</summary>
    private int TakeCaptured(in Request request, int pfn)
    {
        PerCpuPages pcp = request.Cpu.Lists.Pcp[_frames[pfn].ZoneId];
        Finish<ObservedPath>(request.Cpu, pcp, pfn, request.Gfp, request.Order, request.Type);
        pcp.PagesAllocated -= 1L << request.Order;

        // What was freed is derived from what was allocated and what is in use.
        _machine.Events.Count(VmEvent.PagesFreed, 1L << request.Order);
        return pfn;
    }

    /// <summary>Puts a caught block that nobody takes into the free lists.</summary>
    public void FreeCaptured(Cpu cpu, int pfn, int order) => FreeToBuddy(cpu.Lists.Pcp[_frames[pfn].ZoneId], pfn, order, _machine.Zones[_frames[pfn].ZoneId].BlockType(pfn));

    /// <summary>With <c>zone_reclaim_mode</c> a node is reclaimed before a farther one is used.</summary>
    private bool PassesAfterNodeReclaim(in Request request, Zone zone, AllocFlags flags) =>
        _machine.ZoneTable.ZoneReclaimMode != 0 && _hooks.Reclaimer.ReclaimNode(zone, request.ToReclaim()) && Passes(request, zone, flags);

    /// <summary>
    /// Whether the zone is above its high watermark, asked while it is not known to be below. That it is gets remembered: the limits of per-CPU lists fall
    /// then, and the next requests ask for their own watermark at once.
    /// </summary>
    private bool IsAboveHigh(in Request request, Zone zone, AllocFlags flags)
    {
        if (!_rules.RemembersBelowHigh || (zone.Flags & ZoneFlags.BelowHigh) != 0)
        {
            return false;
        }

        if (WatermarkCheck.Passes(zone, request.Order, zone.MarkHigh + zone.Boost, request.Zonelist.HighestZoneIndex, flags, request.Gfp))
        {
            return true;
        }

        zone.Flags |= ZoneFlags.BelowHigh;
        return false;
    }

    internal static bool Passes(in Request request, Zone zone, AllocFlags flags)
    {
        long mark = zone.GetWatermark((Watermark)(flags & AllocFlags.WatermarkMask)) + zone.Boost;
        return (flags & AllocFlags.NoWatermarks) != 0 || WatermarkCheck.Passes(zone, request.Order, mark, request.Zonelist.HighestZoneIndex, flags, request.Gfp);
    }

    private void ReserveHighAtomic(Cpu cpu, Zone zone, int pfn, int order)
    {
        zone.EnterLock();
        _fallback.ReserveHighAtomic(cpu, zone, pfn, order);
        zone.ExitLock();
    }
}
