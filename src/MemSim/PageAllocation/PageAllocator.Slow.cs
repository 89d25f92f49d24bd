using System.Runtime.CompilerServices;
using MemSim.Kernels;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>The slow path: what is tried, in which order, when no zone is above its low watermark.</summary>
/// <remarks>Kernel: <c>__alloc_pages_slowpath()</c>.</remarks>
internal sealed partial class PageAllocator
{
    /// <summary>Rounds without progress after which reclaim is given up (<c>MAX_RECLAIM_RETRIES</c>).</summary>
    private const int MaxReclaimRetries = 16;

    /// <summary>Rounds of compaction tried for orders that should not fail (<c>MAX_COMPACT_RETRIES</c>).</summary>
    private const int MaxCompactRetries = 16;

    private enum Next
    {
        GiveUp,
        Retry,
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private int AllocateSlow(in Request original)
    {
        Request request = original.CanReclaim && (original.Gfp & Gfp.AtomicBit) != 0 ? original.Without(Gfp.AtomicBit) : original;
        AllocFlags flags = FlagsOf(request);
        if (_machine.ZoneTable.DefragMode)
        {
            flags |= AllocFlags.NoFragment;
        }

        if (request.Preferred is null)
        {
            return Fail(request);
        }

        WakeKswapds(request, flags);
        int pfn = Attempt(request, flags);
        if (pfn >= 0)
        {
            return pfn;
        }

        SlowPathState state = default;
        state.Priority = CompactionPriority.SyncLight;
        if (CompactsFirst(request))
        {
            pfn = CompactAndTry(request, flags, CompactionPriority.Async, ref state);
            if (pfn >= 0)
            {
                return pfn;
            }

            if (request.IsCostly && (request.Gfp & Gfp.NoRetry) != 0)
            {
                if (state.Compaction is CompactionOutcome.Skipped or CompactionOutcome.Deferred)
                {
                    return Fail(request);
                }

                state.Priority = CompactionPriority.Async;
            }
        }

        while (true)
        {
            pfn = Round(request, ref flags, ref state, out Next next);
            if (pfn >= 0)
            {
                return pfn;
            }

            if (next == Next.GiveUp)
            {
                if ((request.Gfp & Gfp.NoFail) == 0 || !request.CanReclaim)
                {
                    return Fail(request);
                }

                pfn = LastResortOfNoFail(request, ref state);
                if (pfn >= 0)
                {
                    return pfn;
                }

                if (state.HopelessRounds > MaxReclaimRetries)
                {
                    // Only reached when bugs are logged instead of thrown: a host must not hang where a kernel would panic.
                    return Fail(request);
                }
            }
        }
    }

    /// <summary>One round: kswapd, reserves, direct reclaim, compaction, the OOM killer.</summary>
    private int Round(in Request request, ref AllocFlags flags, ref SlowPathState state, out Next next)
    {
        next = Next.GiveUp;
        WakeKswapds(request, flags);
        AllocFlags before = flags;
        AllocFlags reserves = ReserveRights(request);
        Request attempt = request;
        if (reserves != 0)
        {
            flags = reserves | CmaRight(request) | (flags & AllocFlags.Kswapd);
        }
        else if (_rules.DefragMode == DefragModeRule.YieldsToKswapd && !request.CanReclaim && (request.Gfp & Gfp.KswapdReclaim) != 0)
        {
            // Nobody waits for compaction here, and kswapd knows: a mixed page block is better than no page.
            flags &= ~AllocFlags.NoFragment;
        }

        if (reserves != 0 || IgnoresPolicy(request))
        {
            attempt = new Request(request.Cpu, request.Zonelist, request.Gfp, request.Order);
        }

        bool repeats = state.Rounds++ == 0 && !state.HasCompacted && flags == before && attempt.NodeMask == request.NodeMask && attempt.Cpuset == request.Cpuset;
        int pfn = repeats && _rules.SkipsRepeatedAttempt ? -1 : Attempt(attempt, flags);
        if (pfn >= 0 || !request.CanReclaim || IsMemAlloc(request.Cpu))
        {
            return pfn;
        }

        pfn = ReclaimAndTry(attempt, flags, ref state);
        if (pfn < 0)
        {
            pfn = CompactAndTry(attempt, flags, state.Priority, ref state);
        }

        if (pfn >= 0 || (request.Gfp & Gfp.NoRetry) != 0 || (request.IsCostly && (request.Gfp & Gfp.RetryMayFail) == 0))
        {
            return pfn;
        }

        if (WorthReclaiming(attempt, flags, ref state) || (state.Reclaimed > 0 && WorthCompacting(attempt, flags, ref state)))
        {
            next = Next.Retry;
            return -1;
        }

        return AfterOutOfMemory(attempt, ref flags, ref state, out next);
    }

    private int AfterOutOfMemory(in Request request, ref AllocFlags flags, ref SlowPathState state, out Next next)
    {
        next = Next.GiveUp;
        if ((flags & AllocFlags.NoFragment) != 0)
        {
            // Reclaim and compaction did not prevent it: types mix before anybody is killed.
            flags &= ~AllocFlags.NoFragment;
            next = Next.Retry;
            return -1;
        }

        int pfn = TryOutOfMemory(request, out bool progress);
        if (pfn >= 0)
        {
            return pfn;
        }

        bool victim = (request.Cpu.Current.Flags & TaskFlags.OomVictim) != 0;
        if (victim && ((flags & AllocFlags.Oom) != 0 || (request.Gfp & Gfp.NoMemAlloc) != 0))
        {
            return -1;
        }

        if (progress)
        {
            state.RoundsWithoutProgress = 0;
            next = Next.Retry;
        }

        return -1;
    }

    /// <summary>A last look at the high watermark, in case somebody just freed a lot, then the OOM killer for those who may call it.</summary>
    private int TryOutOfMemory(in Request request, out bool progress)
    {
        progress = false;
        int pfn = Attempt(request.Without(Gfp.DirectReclaim), AllocFlags.WatermarkHigh);
        if (pfn >= 0)
        {
            return pfn;
        }

        // Killing somebody does not make large blocks, low memory or memory of one node, and these callers cope with failure.
        ArchitectureInfo arch = _machine.Architecture;
        if (request.IsCostly || (request.Gfp & (Gfp.RetryMayFail | Gfp.ThisNode)) != 0
            || request.Zonelist.HighestZoneIndex < arch.IndexOf(ZoneType.Normal))
        {
            return -1;
        }

        // A request that must not fail gets the last page there is, whatever the OOM killer found.
        progress = _hooks.Reclaimer.OutOfMemory(request.ToReclaim());
        if ((request.Gfp & Gfp.NoFail) != 0)
        {
            pfn = Attempt(request, AllocFlags.NoWatermarks);
        }

        return pfn;
    }

    /// <summary>What remains for a request that must not fail: a part of the reserves, again and again. Without reclaim that can help it would never end.</summary>
    private int LastResortOfNoFail(in Request request, ref SlowPathState state)
    {
        int pfn = Attempt(request, AllocFlags.MinReserve | CmaRight(request));
        if (pfn < 0 && ++state.HopelessRounds > MaxReclaimRetries)
        {
            _machine.Bugs.NoFailCannotSucceed(request.Cpu, request.Gfp, request.Order);
        }

        return pfn;
    }

    /// <summary>The rights of a request in the slow path, from its flags (<c>gfp_to_alloc_flags()</c>).</summary>
    internal static AllocFlags FlagsOf(in Request request)
    {
        Gfp gfp = request.Gfp;
        AllocFlags flags = AllocFlags.WatermarkMin | (AllocFlags)(gfp & Gfp.High) | (AllocFlags)(gfp & Gfp.KswapdReclaim) | CmaRight(request);
        if ((gfp & Gfp.DirectReclaim) == 0)
        {
            if ((gfp & Gfp.NoMemAlloc) == 0)
            {
                flags |= AllocFlags.NonBlock;
                if (request.Order > 0 && (gfp & Gfp.High) != 0)
                {
                    flags |= AllocFlags.HighAtomic;
                }
            }
        }
        else if ((request.Cpu.Current.Flags & TaskFlags.RealTime) != 0 && !request.Cpu.Context.InInterrupt)
        {
            flags |= AllocFlags.MinReserve;
        }

        return flags;
    }

    /// <summary>Who may ignore watermarks altogether, and who half of one (<c>__gfp_pfmemalloc_flags()</c>).</summary>
    internal static AllocFlags ReserveRights(in Request request)
    {
        if ((request.Gfp & Gfp.NoMemAlloc) != 0)
        {
            return 0;
        }

        if ((request.Gfp & Gfp.MemAlloc) != 0)
        {
            return AllocFlags.NoWatermarks;
        }

        TaskFlags task = request.Cpu.Current.Flags;
        if ((task & TaskFlags.MemAlloc) != 0 && (!request.Cpu.Context.InInterrupt || (request.Cpu.Context.InSoftIrq && !request.Cpu.Context.InHardIrq)))
        {
            return AllocFlags.NoWatermarks;
        }

        return (task & TaskFlags.OomVictim) != 0 && !request.Cpu.Context.InInterrupt ? AllocFlags.Oom : 0;
    }

    /// <summary>A request that cannot wait and has priority rather takes memory of another node than fail.</summary>
    private static bool IgnoresPolicy(in Request request) => !request.CanReclaim && (request.Gfp & Gfp.High) != 0;

    private static bool IsMemAlloc(Cpu cpu) => (cpu.Current.Flags & TaskFlags.MemAlloc) != 0;

    private static bool CompactsFirst(in Request request) =>
        request.CanReclaim && (request.IsCostly || (request.Order > 0 && request.Type != (int)MigrateType.Movable)) && ReserveRights(request) == 0;

    /// <summary>Wakes kswapd of every node the request may use (<c>wake_all_kswapds()</c>).</summary>
    private void WakeKswapds(in Request request, AllocFlags flags)
    {
        if ((flags & AllocFlags.Kswapd) == 0)
        {
            return;
        }

        Node? last = null;
        ReclaimRequest reclaim = request.ToReclaim();
        foreach (Zone zone in request.Zonelist.Zones)
        {
            if (zone.Node != last && request.Allows(zone))
            {
                _hooks.Reclaimer.WakeKswapd(zone, reclaim);
                last = zone.Node;
            }
        }
    }

    private int ReclaimAndTry(in Request request, AllocFlags flags, ref SlowPathState state)
    {
        state.Reclaimed = _hooks.Reclaimer.DirectReclaim(request.ToReclaim());
        if (state.Reclaimed == 0)
        {
            return -1;
        }

        int pfn = Attempt(request, flags);
        if (pfn < 0)
        {
            // The pages may be stuck in per-CPU lists or in the reserve of atomic requests.
            _fallback.UnreserveHighAtomic(request.Cpu, request.Zonelist, request.Type, force: false);
            DrainAllPages();
            pfn = Attempt(request, flags);
        }

        return pfn;
    }

    private int CompactAndTry(in Request request, AllocFlags flags, CompactionPriority priority, ref SlowPathState state)
    {
        if (request.Order == 0)
        {
            return -1;
        }

        state.HasCompacted = true;
        state.Compaction = _hooks.Reclaimer.Compact(request.ToReclaim(), priority);
        if (state.Compaction == CompactionOutcome.Skipped)
        {
            return -1;
        }

        int captured = _hooks.Reclaimer.TakeCaptured(request.Cpu);
        int pfn = captured >= 0 ? TakeCaptured(request, captured) : Attempt(request, flags);
        _hooks.Reclaimer.AfterCompaction(request.Cpu, request.Order, pfn);
        return pfn;
    }

    /// <summary>Whether another round of reclaim could bring a zone above its min watermark (<c>should_reclaim_retry()</c>).</summary>
    private bool WorthReclaiming(in Request request, AllocFlags flags, ref SlowPathState state)
    {
        // Progress for a costly order says nothing about large blocks.
        state.RoundsWithoutProgress = state.Reclaimed > 0 && !request.IsCostly ? 0 : state.RoundsWithoutProgress + 1;
        if (state.RoundsWithoutProgress > MaxReclaimRetries)
        {
            return _fallback.UnreserveHighAtomic(request.Cpu, request.Zonelist, request.Type, force: true);
        }

        foreach (Zone zone in request.Zonelist.Zones)
        {
            if (request.Allows(zone))
            {
                long available = _hooks.Reclaimer.ReclaimablePages(zone) + zone.TrueFreePages;
                if (WatermarkCheck.PassesFull(zone, request.Order, zone.MarkMin + zone.Boost, request.Zonelist.HighestZoneIndex, flags, available))
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>Whether another round of compaction could make the block (<c>should_compact_retry()</c>), after reclaim made some progress.</summary>
    private bool WorthCompacting(in Request request, AllocFlags flags, ref SlowPathState state)
    {
        if (request.Order == 0)
        {
            return false;
        }

        switch (state.Compaction)
        {
            case CompactionOutcome.Success:
                // A block was made, and somebody else was quicker: the same again, some times.
                if (++state.CompactionRounds <= (request.IsCostly ? MaxCompactRetries / 4 : MaxCompactRetries))
                {
                    return true;
                }

                break;
            case CompactionOutcome.Skipped:
                // It had no room to work in: worth it if there is room once everything reclaimable is gone.
                return CouldCompactAfterReclaim(request, flags);
        }

        // The whole zone was searched in vain, or only a part, or not at all this time: only trying harder can help.
        CompactionPriority hardest = request.IsCostly ? CompactionPriority.SyncLight : CompactionPriority.SyncFull;
        if (state.Priority <= hardest)
        {
            return false;
        }

        state.Priority--;
        state.CompactionRounds = 0;
        return true;
    }

    /// <summary>Whether a zone would have room for compaction if what can be reclaimed were free (<c>compaction_zonelist_suitable()</c>).</summary>
    private bool CouldCompactAfterReclaim(in Request request, AllocFlags flags)
    {
        foreach (Zone zone in request.Zonelist.Zones)
        {
            if (!request.Allows(zone))
            {
                continue;
            }

            // Reclaim must not go through the whole zone for one large block: the larger it is, the less of what is reclaimable counts.
            long free = (_hooks.Reclaimer.ReclaimablePages(zone) / request.Order) + zone.TrueFreePages;
            if (!WatermarkCheck.NeedsNoCompaction(zone, request.Order, flags, request.Zonelist.HighestZoneIndex)
                && WatermarkCheck.HasRoomToCompact(zone, request.Order, request.Zonelist.HighestZoneIndex, free))
            {
                return true;
            }
        }

        return false;
    }

    private int Fail(in Request request)
    {
        _hooks.FailureReports.AllocationFailed(request.Cpu, request.Gfp, request.Order, request.NodeMask);
        _hooks.Trace?.MmPageAlloc(request.Cpu, -1, request.Order, (MigrateType)request.Type, request.Gfp);
        return -1;
    }

    /// <summary>What one request's slow path remembers between rounds.</summary>
    private struct SlowPathState
    {
        public long Reclaimed;
        public int RoundsWithoutProgress;
        public int CompactionRounds;
        public int Rounds;
        public bool HasCompacted;
        public int HopelessRounds;
        public CompactionPriority Priority;
        public CompactionOutcome Compaction;
    }
}
