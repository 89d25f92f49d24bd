using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <content>Frees: the fast path, per-CPU lists, the buddy lists.</content>
internal sealed partial class PageAllocator
{
    /// <summary>Frees a block that a caller names: checks it and puts it into the CPU's own lists where the order has them.</summary>
    /// <returns>Whether the block could be freed; if not, nothing changed.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryFree(Cpu cpu, Page page, int order)
    {
        if (!page.BelongsTo(_machine) || (uint)order > PageGeometry.MaxOrder)
        {
            return false;
        }

        int pfn = page.FrameIndex;
        ref PageFrame frame = ref _frames[pfn];
        if (frame.State != PageFrame.AllocatedState(order) || frame.IsHeldByFlagsOrOwner)
        {
            return false;
        }

        if (cpu.Mode == CpuMode.Plain)
        {
            FreeBlock<PlainPath>(cpu, ref frame, pfn, order);
            return true;
        }

        return TryFreeUnusual(cpu, pfn, order);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool TryFreeUnusual(Cpu cpu, int pfn, int order)
    {
        _machine.ThrowIfDisposed();
        if (cpu.Mode == CpuMode.Moving)
        {
            FreeBlock<MovingPath>(cpu, ref _frames[pfn], pfn, order);
            return true;
        }

        if (cpu.Mode == CpuMode.Parallel)
        {
            cpu.Context.Drivers?.Look();
            FreeBlock<ParallelPath>(cpu, ref _frames[pfn], pfn, order);
            return true;
        }

        Callouts callouts = _machine.Callouts;
        Callouts.State here = cpu.InProgress ?? callouts.Current;
        here.Depth++;
        try
        {
            if ((cpu.Mode == CpuMode.Observed && here.UserCode == 0) || MayFree(cpu))
            {
                FreeBlock<ObservedPath>(cpu, ref _frames[pfn], pfn, order);
            }
        }
        catch
        {
            // Not a finally: that is a call of its own each time.
            here.Depth--;
            throw;
        }

        here.Depth--;
        callouts.ThrowIfIdle();
        return true;
    }

    /// <summary>Whether a CPU in a special context may free: another host thread than the one that drives the machine may not.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool MayFree(Cpu cpu)
    {
        _drivers?.Enter();
        _drivers?.Leave();
        return _machine.Bugs.CheckContext(cpu);
    }

    /// <summary>Frees a block that passed the checks, or that a replay or the boot knows to be good.</summary>
    public void FreeBlock(Cpu cpu, int pfn, int order) => FreeBlock<ObservedPath>(cpu, ref _frames[pfn], pfn, order);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FreeBlock<TPath>(Cpu cpu, ref PageFrame frame, int pfn, int order)
        where TPath : struct, IPath
    {
        // Compared instead of looked up: what follows then need not wait for the frame's zone, nor below for its page block's type.
        int zone = frame.ZoneId;
        PerCpuPages pcp = cpu.Lists.HomePcp;
        if (zone != pcp.ZoneId)
        {
            pcp = OtherPcp(cpu, zone);
        }

        if (TPath.IsObserved)
        {
            _hooks.Trace?.MmPageFree(cpu, pfn, order);
            _hooks.Charges?.Uncharge(cpu, pfn);
            ZeroFreed(pfn, order);
            if (_poisoned.Count != 0 && FreeAroundPoisoned(pcp, pfn, order))
            {
                return;
            }
        }

        int type = pcp.Zone.BlockType(pfn);
        if (order > PageGeometry.CostlyOrder && order != _pageblockOrder)
        {
            FreeToBuddy(pcp, pfn, order, type);
        }
        else if (type == (int)MigrateType.Unmovable)
        {
            FreeToPcp<TPath>(cpu, pcp, ref frame, pfn, order, (int)MigrateType.Unmovable);
        }
        else if (type == (int)MigrateType.Movable)
        {
            FreeToPcp<TPath>(cpu, pcp, ref frame, pfn, order, (int)MigrateType.Movable);
        }
        else
        {
            FreeRareType(cpu, pcp, pfn, order, type);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void ZeroFreed(int pfn, int order)
    {
        if (_hooks.ZeroesOnFree)
        {
            _machine.Ram.Zero(pfn, 1L << order);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeRareType(Cpu cpu, PerCpuPages pcp, int pfn, int order, int type) => FreeToPcp<ObservedPath>(cpu, pcp, ref _frames[pfn], pfn, order, type);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static PerCpuPages OtherPcp(Cpu cpu, int zone) => cpu.Lists.Pcp[zone];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FreeToPcp<TPath>(Cpu cpu, PerCpuPages pcp, ref PageFrame frame, int pfn, int order, int type)
        where TPath : struct, IPath
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

        if (HasLocks<TPath>() && !EnterLists(pcp))
        {
            FreeToBuddy(pcp, pfn, order, type);
            return;
        }

        Debug.Assert(frame.IsInUse == (frame.State != 0) && !frame.IsBuddy && !frame.IsPcp && (pfn & ((1 << order) - 1)) == 0, "an aligned block that is not free yet");
        frame.KeepOnlyZone();
        frame.State = PageFrame.PcpState;
        frame.Index = (uint)type;
        int list = PerCpuPages.ListIndex(order, listType);
        _frames.AddFirst(pcp.FirstHead + list, ref frame, pfn);
        int count = pcp.Count + (1 << order);
        pcp.Count = count;
        if (Moves<TPath>(pcp))
        {
            pcp.AllocFactor >>= 1;
            if (order == 0)
            {
                pcp.LastFreeWasBlock = false;
                if (pcp.FreeRun < MovingLimitPcpLists.MostCounted(pcp))
                {
                    pcp.FreeRun++;
                }
            }
        }

        if (count >= pcp.TrimAt || (order != 0 && (pcp.FreeRun != 0 || Moves<TPath>(pcp))))
        {
            _pcpLists.TrimAfterFree(cpu, pcp, order, list);
        }

        if (HasLocks<TPath>())
        {
            pcp.Lock.Exit();
        }
    }

    /// <summary>Whether a CPU's lists have to be locked.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool HasLocks<TPath>()
        where TPath : struct, IPath
        => TPath.IsParallel || (TPath.IsObserved && _parallel);

    /// <summary>Whether the limit of a CPU's lists moves with the load.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Moves<TPath>(PerCpuPages pcp)
        where TPath : struct, IPath
        => TPath.Moves || ((TPath.IsObserved || TPath.IsParallel) && pcp.IsMoving);

    /// <summary>Takes the lock of a CPU's lists; later kernels only try, since an interrupt may have hit while the CPU held it.</summary>
    private bool EnterLists(PerCpuPages pcp)
    {
        if (_rules.FreesPastHeldLists)
        {
            return pcp.Lock.TryEnter();
        }

        pcp.Lock.Enter();
        return true;
    }

    /// <summary>Frees single pages that follow each other as the block they make: each has an event of its own, the lists get one block (7.2).</summary>
    public void FreeJoined(Cpu cpu, int pfn, int order)
    {
        PerCpuPages pcp = cpu.Lists.Pcp[_frames[pfn].ZoneId];
        for (int i = pfn; i < pfn + (1 << order); i++)
        {
            _hooks.Trace?.MmPageFree(cpu, i, 0);
            ZeroFreed(i, 0);
            ref PageFrame part = ref _frames[i];
            part.Identity = PageFrame.FreeIdentity(pcp.ZoneId, 0);
            part.State = 0;
        }

        if (_poisoned.Count != 0 && FreeAroundPoisoned(pcp, pfn, order))
        {
            return;
        }

        int type = pcp.Zone.BlockType(pfn);
        if (order > PageGeometry.CostlyOrder && order != _pageblockOrder)
        {
            FreeToBuddy(pcp, pfn, order, type);
        }
        else
        {
            FreeToPcp<ObservedPath>(cpu, pcp, ref _frames[pfn], pfn, order, type);
        }
    }

    /// <summary>Frees a block to the free lists of its zone directly.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeToBuddy(PerCpuPages pcp, int pfn, int order, int type)
    {
        if (order > _largestFreedWhole)
        {
            FreePageblocks(pcp, pfn, order);
            return;
        }

        // Nothing here calls code of the user's, so nothing throws: the guard needs no handler.
        Zone zone = pcp.Zone;
        ref PageFrame frame = ref _frames[pfn];
        frame.Identity = PageFrame.FreeIdentity(zone.Id, 0);
        frame.State = 0;
        int before = EnterZone(zone);
        _buddy.Free(zone, pcp, pfn, order, type);
        LeaveZone(zone, before);
    }

    /// <summary>Each page block of a block goes to the list of its own type.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreePageblocks(PerCpuPages pcp, int pfn, int order)
    {
        for (int block = pfn; block < pfn + (1 << order); block += 1 << _pageblockOrder)
        {
            FreeToBuddy(pcp, block, _pageblockOrder, pcp.Zone.BlockType(block));
        }
    }

    /// <summary>Begins to work on the free lists: where CPUs are parallel they have a lock, elsewhere there is a guard that finds out two host threads.</summary>
    /// <returns>What <see cref="LeaveZone"/> needs.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int EnterZone(Zone zone)
    {
        if (_drivers is { } drivers)
        {
            return drivers.EnterBriefly();
        }

        zone.EnterLock();
        return 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void LeaveZone(Zone zone, int before)
    {
        if (_drivers is { } drivers)
        {
            drivers.Go(before);
        }
        else
        {
            zone.ExitLock();
        }
    }

    /// <summary>A free that may be a wrong one: says what is wrong with it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void FreeChecked(Cpu cpu, Page page, int order)
    {
        if (page.IsNull)
        {
            return;
        }

        _machine.ThrowIfDisposed();
        if (!_machine.Frames.MayFree(page, order))
        {
            _machine.Bugs.BadFree(cpu, page, order, "__free_pages");
        }
        else if (_machine.Bugs.CheckContext(cpu))
        {
            FreeBlock(cpu, page.FrameIndex, order);
        }
    }
}
