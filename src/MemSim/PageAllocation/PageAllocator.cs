using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Kernels;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>The page allocator: the fast path of an allocation and of a free. What they need when it gets difficult is in the other parts of this class.</summary>
/// <remarks>Kernel: <c>__alloc_pages()</c>, <c>get_page_from_freelist()</c>, <c>rmqueue()</c>, <c>free_unref_page()</c>.</remarks>
internal sealed partial class PageAllocator
{
    /// <summary>Updates for which lists of another node's zone lie idle before they give a batch back.</summary>
    private const int UpdatesBeforeExpiry = 3;

    private const Gfp PrepFlags = Gfp.Zero | Gfp.Comp;

    private readonly Machine _machine;
    private readonly AllocatorHooks _hooks;
    private readonly FrameArray _frames;
    private readonly PoisonedFrames _poisoned;
    private readonly BuddyLists _buddy;
    private readonly Fallback _fallback;
    private readonly PcpLists _pcpLists;
    private readonly int _pageblockOrder;

    /// <summary>The largest order that is freed as one block: where merged page blocks take a type, larger ones are freed page block by page block.</summary>
    private readonly int _largestFreedWhole;
    private readonly bool _parallel;
    private readonly AllocatorRules _rules;
    private readonly DriverGuard? _drivers;

    public PageAllocator(Machine machine, FrameArray frames, AllocatorRules rules)
    {
        _machine = machine;
        _hooks = machine.Hooks;
        _frames = frames;
        _poisoned = machine.Frames.Poisoned;
        _rules = rules;
        _pageblockOrder = machine.ZoneTable.PageblockOrder;
        _largestFreedWhole = rules.MergedBlocksTakeType ? _pageblockOrder : PageGeometry.MaxOrder;
        _parallel = machine.IsParallel;
        _drivers = machine.Callouts.Drivers;
        _buddy = new BuddyLists(frames, machine.Frames.Untouched, _pageblockOrder, rules);
        _fallback = Fallback.For(machine, _buddy, rules);
        _pcpLists = PcpLists.For(machine, frames, _buddy, _fallback, rules);
        LimitsMove = rules.PcpTuning == PcpTuning.MovingLimit;
    }

    /// <summary>Whether the limits of per-CPU lists move with the load.</summary>
    public bool LimitsMove { get; }

    public BuddyLists Buddy => _buddy;

    /// <summary>Gives the pages in all CPUs' lists back to the free lists (<c>drain_all_pages()</c>).</summary>
    public void DrainAllPages()
    {
        _machine.ThrowIfDisposed();
        for (int i = 0; i < _machine.Cpus.Count; i++)
        {
            _machine.Cpus[i].Pages.DrainLocalPages();
        }
    }

    /// <summary>Allocates from the zones of a request, in whatever context the CPU is.</summary>
    /// <returns>The first frame, or -1.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Allocate(Cpu cpu, Gfp gfp, int order)
    {
        if (cpu.Mode != CpuMode.Plain || (uint)order > PageGeometry.MaxOrder || (gfp & (Gfp.ThisNode | ~Gfp.BitsMask)) != 0)
        {
            return AllocateUnusual(cpu, gfp, order);
        }

        return AllocateFrom<PlainPath>(cpu, cpu.Lists.Choices[(int)(gfp & Gfp.ZoneMask)], gfp, order);
    }

    /// <summary>A request on a machine with locks or listeners, in a special context, or with a strange order or node.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int AllocateUnusual(Cpu cpu, Gfp gfp, int order)
    {
        if (cpu.Mode is CpuMode.Moving or CpuMode.Parallel && (uint)order <= PageGeometry.MaxOrder && (gfp & (Gfp.ThisNode | ~Gfp.BitsMask)) == 0)
        {
            cpu.Context.Drivers?.Look();
            FirstChoice choice = cpu.Lists.Choices[(int)(gfp & Gfp.ZoneMask)];
            return cpu.Mode == CpuMode.Moving ? AllocateFrom<MovingPath>(cpu, choice, gfp, order) : AllocateFrom<ParallelPath>(cpu, choice, gfp, order);
        }

        int pfn;
        Callouts callouts = _machine.Callouts;
        DriverGuard? drivers = _drivers ?? cpu.Context.Drivers;
        Callouts.State here = cpu.InProgress ?? callouts.Current;
        drivers?.Enter();
        here.Depth++;
        try
        {
            pfn = cpu.Mode == CpuMode.Special || here.UserCode != 0 || (uint)order > PageGeometry.MaxOrder || (gfp & (Gfp.ThisNode | ~Gfp.BitsMask)) != 0
                ? AllocateChecked(cpu, gfp, order, node: null)
                : AllocateFrom<ObservedPath>(cpu, cpu.Lists.Choices[(int)(gfp & Gfp.ZoneMask)], gfp, order);
            if (pfn >= 0 && (gfp & Gfp.Account) != 0 && _hooks.Charges is { } charges && !charges.TryChargeKernel(cpu, pfn, gfp))
            {
                FreeBlock(cpu, pfn, order);
                pfn = -1;
            }
        }
        catch
        {
            // Not a finally: that is a call of its own each time.
            here.Depth--;
            drivers?.Leave();
            throw;
        }

        here.Depth--;
        drivers?.Leave();
        return callouts.MayHold ? Conclude(cpu, pfn, order) : pfn;
    }

    /// <summary>The operation is over: what a receiver of tracepoints threw meanwhile is thrown now, and the caller gets nothing.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int Conclude(Cpu cpu, int pfn, int order)
    {
        if (_machine.Callouts.MustThrow)
        {
            if (pfn >= 0)
            {
                FreeBlock(cpu, pfn, order);
            }

            _machine.Callouts.ThrowIfIdle();
        }

        return pfn;
    }

    /// <summary>The fast path: the first zone of the list at its low watermark, from the CPU's own lists where the order has them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int AllocateFrom<TPath>(Cpu cpu, FirstChoice choice, Gfp gfp, int order)
        where TPath : struct, IPath
    {
        int type = (int)((uint)gfp >> 3) & 3;
        PerCpuPages? pcp = choice.Pcp;
        if (pcp is null || type == (int)MigrateType.HighAtomic)
        {
            return AllocateGeneral(cpu, choice.Zonelist, gfp, order, firstZone: 0);
        }

        Zone zone = pcp.Zone;
        if (zone.NeedsFullCheck || !WatermarkCheck.PassesQuickly(zone, order, choice.HighestZoneIndex))
        {
            return AllocateGeneral(cpu, choice.Zonelist, gfp, order, firstZone: 0);
        }

        if ((TPath.Moves || TPath.IsParallel || TPath.IsObserved) && (_machine.ZoneTable.DefragMode || (order > 0 && FirstHighAtomicRight(gfp, order) != 0)))
        {
            return AllocateGeneral(cpu, choice.Zonelist, gfp, order, firstZone: 0);
        }

        // Avoiding fragmentation only matters once the lists are empty: the right to say no goes along.
        AllocFlags flags = AllocFlags.WatermarkLow | (AllocFlags)(gfp & Gfp.KswapdReclaim);
        if (choice.AvoidsFragmentation)
        {
            flags |= AllocFlags.NoFragment;
        }

        int pfn = TakeFromZone<TPath>(cpu, zone, pcp, order, type, flags);
        if (pfn < 0)
        {
            return AllocateGeneral(cpu, choice.Zonelist, gfp, order, firstZone: 1);
        }

        pcp.NumaHit++;
        Finish<TPath>(cpu, pcp, pfn, gfp, order, type);
        return pfn;
    }

    /// <summary>Takes a block from a zone that passed the watermark check (<c>rmqueue()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int TakeFromZone<TPath>(Cpu cpu, Zone zone, PerCpuPages pcp, int order, int type, AllocFlags flags)
        where TPath : struct, IPath
    {
        int pfn = order <= PageGeometry.CostlyOrder || order == _pageblockOrder ? TakeFromPcp<TPath>(cpu, pcp, order, type, flags) : -1;
        if (pfn < 0)
        {
            pfn = TakeFromBuddy(cpu, pcp, order, type, flags);
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
            _hooks.Reclaimer.WakeKswapd(zone, new ReclaimRequest(cpu, Gfp.None, 0, zone.Index, [zone]));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int TakeFromPcp<TPath>(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags)
        where TPath : struct, IPath
    {
        if (HasLocks<TPath>() && !EnterLists(pcp))
        {
            return -1;
        }

        if (pcp.FreeRun != 0)
        {
            pcp.FreeRun >>= 1;
        }

        int pfn = PopPcp(cpu, pcp, order, type, flags);
        if (HasLocks<TPath>())
        {
            pcp.Lock.Exit();
        }

        return pfn;
    }

    /// <summary>Takes the front of a per-CPU list, refilling it first when it is empty.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int PopPcp(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags)
    {
        FrameArray frames = _frames;
        int list = pcp.FirstHead + PerCpuPages.ListIndex(order, type);
        ref PageFrame head = ref frames[list];
        int pfn = head.Next;
        if (pfn == list)
        {
            if (!_pcpLists.Refill(cpu, pcp, order, type, flags))
            {
                return -1;
            }

            pfn = head.Next;
        }

        Debug.Assert(frames[pfn].State == PageFrame.PcpState && frames[pfn].Prev == list, "the first of a CPU's list is marked so and leads back to it");
        int next = frames[pfn].Next;
        head.Next = next;
        frames[next].Prev = list;
        pcp.Count -= 1 << order;
        Debug.Assert(pcp.Count >= 0, "no more is taken than there is");
        return pfn;
    }

    /// <summary>Takes a block from the free lists directly, by the rights of the request.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int TakeFromBuddy(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags)
    {
        // Orders that no CPU keeps come past no refill: here two host threads are found out.
        Zone zone = pcp.Zone;
        int before = EnterZone(zone);
        int pfn = !zone.HasCma && (flags & AllocFlags.HighAtomic) == 0 && _hooks.Trace is null ? _buddy.TakeSmallest(zone, pcp, order, type) : -1;
        if (pfn < 0)
        {
            return TakeFurther(cpu, pcp, order, type, flags);
        }

        Debug.Assert(type < PerCpuPages.PcpTypes, "a request names an ordinary type: nothing else is counted");
        zone.AddFreePages(pcp, -(1 << order));
        LeaveZone(zone, before);
        return pfn;
    }

    /// <summary>Somebody listens, the request has special rights, or the type's own lists have nothing.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int TakeFurther(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags)
    {
        int pfn;
        try
        {
            pfn = TakeGuarded(cpu, pcp, order, type, flags);
        }
        catch
        {
            // Not a finally: that is a call of its own each time.
            _drivers?.Leave();
            throw;
        }

        _drivers?.Leave();
        return pfn;
    }

    private int TakeGuarded(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags)
    {
        Zone zone = pcp.Zone;
        int pfn = -1;
        int from = (int)MigrateType.HighAtomic;
        if ((flags & AllocFlags.HighAtomic) != 0)
        {
            pfn = _buddy.TakeSmallest(zone, pcp, order, (int)MigrateType.HighAtomic);
        }

        bool counted = false;
        if (pfn < 0)
        {
            from = type;
            pfn = zone.HasCma ? -1 : _buddy.TakeSmallest(zone, pcp, order, type);
            if (pfn < 0)
            {
                FallbackStage stage = FallbackStage.Own;
                pfn = _fallback.Take(cpu, zone, order, type, flags, ref stage);
                counted = pfn >= 0 && _fallback.CountsTaken;
            }

            if (pfn < 0 && _rules.HighAtomicIsLastResort && (flags & (AllocFlags.Oom | AllocFlags.NonBlock)) != 0)
            {
                from = (int)MigrateType.HighAtomic;
                pfn = _buddy.TakeSmallest(zone, pcp, order, (int)MigrateType.HighAtomic);
            }
        }

        if (pfn >= 0)
        {
            if (!counted)
            {
                bool cma = zone.HasCma && zone.BlockType(pfn) == (int)MigrateType.Cma;
                BuddyLists.CountFree(zone, pcp, -(1 << order), cma ? (int)MigrateType.Cma : from);
            }

            if (!_rules.ReservesAfterPcpHit && MayReserve(order, flags))
            {
                _fallback.ReserveHighAtomic(cpu, zone, pfn, order);
            }

            _hooks.Trace?.MmPageAllocZoneLocked(cpu, pfn, order, (MigrateType)from, percpuRefill: false);
        }

        zone.ExitLock();
        return pfn;
    }

    /// <summary>Makes the frame of a block an allocated one and counts it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Finish<TPath>(Cpu cpu, PerCpuPages pcp, int pfn, Gfp gfp, int order, int type)
        where TPath : struct, IPath
    {
        _frames[pfn].State = PageFrame.AllocatedState(order);
        pcp.PagesAllocated += 1L << order;
        if ((gfp & PrepFlags) != 0)
        {
            Prepare(pfn, gfp, order);
        }

        if (TPath.IsObserved)
        {
            _hooks.Trace?.MmPageAlloc(cpu, pfn, order, (MigrateType)type, gfp);
            if (_hooks.ZeroesOnAlloc && (gfp & Gfp.Zero) == 0)
            {
                _machine.Ram.Zero(pfn, 1L << order);
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Prepare(int pfn, Gfp gfp, int order)
    {
        if ((gfp & Gfp.Comp) != 0 && order > 0)
        {
            _frames[pfn].Set(PageFlags.Head);
        }

        if ((gfp & Gfp.Zero) != 0)
        {
            if (order == 0)
            {
                _machine.Ram.ZeroFrame(pfn);
            }
            else
            {
                _machine.Ram.Zero(pfn, 1L << order);
            }
        }
    }

    /// <summary>Counts where a block came from against where it was wanted.</summary>
    private static void CountPlace(Cpu cpu, Zone zone, Zone preferred)
    {
        // A zone of the preferred node is a hit even when it is not the preferred zone.
        PerCpuPages pcp = cpu.Lists.Pcp[zone.Id];
        if (zone.Node == preferred.Node)
        {
            pcp.NumaHit++;
        }
        else
        {
            pcp.NumaMiss++;
            cpu.Lists.Pcp[preferred.Id].NumaForeign++;
        }
    }

    /// <summary>Drains a CPU's lists of a zone completely.</summary>
    public void DrainAll(Cpu cpu, PerCpuPages pcp) => Drain(cpu, pcp, pcp.Count);

    /// <summary>Drains at most a batch of a CPU's lists of a zone (<c>drain_zone_pages()</c>, the periodic shrinking of remote lists).</summary>
    public void DrainBatch(Cpu cpu, PerCpuPages pcp) => Drain(cpu, pcp, Math.Min(pcp.Count, pcp.Batch));

    /// <summary>Folds what a CPU counted for itself, lowers the limits of its lists, where they move and rose, and drains what is above, and a batch of other nodes' lists that lie idle (once in <c>vm.stat_interval</c> seconds).</summary>
    /// <returns>Whether the next time may find something to do, too.</returns>
    public bool UpdateLists(Cpu cpu)
    {
        bool again = false;
        foreach (PerCpuPages pcp in cpu.Lists.Pcp)
        {
            pcp.Expire = pcp.FoldCounters() ? UpdatesBeforeExpiry : pcp.Expire;
            again |= LowerLimit(cpu, pcp) | ExpireLists(cpu, pcp);
        }

        return again;
    }

    /// <summary>Comes one update nearer to the moment when lists of another node's zone give a batch back (<c>drain_zone_pages()</c>).</summary>
    /// <returns>Whether that moment is still to come, or what was given back is to be counted.</returns>
    private bool ExpireLists(Cpu cpu, PerCpuPages pcp)
    {
        if (pcp.Expire == 0 || pcp.Count == 0)
        {
            return false;
        }

        if (ReferenceEquals(pcp.Zone.Node, cpu.Node))
        {
            pcp.Expire = 0;
            return false;
        }

        if (--pcp.Expire == 0)
        {
            DrainBatch(cpu, pcp);
        }

        return true;
    }

    /// <summary>Lowers the limit of a CPU's lists in one zone, where it moves and rose, and drains what is above.</summary>
    /// <returns>Whether the next time may find something to do, too.</returns>
    public bool LowerLimit(Cpu cpu, PerCpuPages pcp)
    {
        if (_parallel)
        {
            pcp.Lock.Enter();
        }

        int before = pcp.High;
        pcp.High = _pcpLists.LoweredLimit(pcp);
        int over = pcp.High < before || pcp.IsMoving ? Math.Max(pcp.Count - pcp.High, 0) : 0;
        if (over > 0)
        {
            _pcpLists.Drain(cpu, pcp, over, 0);
        }

        if (_parallel)
        {
            pcp.Lock.Exit();
        }

        return over > 0 || pcp.High < before;
    }

    /// <summary>What the limit of a CPU's lists becomes then.</summary>
    public int LoweredLimit(PerCpuPages pcp) => _pcpLists.LoweredLimit(pcp);

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
