using System.Diagnostics;
using MemSim.Kernels;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim.Reclaim;

/// <summary>Reclaim by generations (multi-generational LRU): the oldest one is sorted and evicted, and a new one added by a look at page tables when cold pages run out.</summary>
/// <remarks>How much a step looks at and when it ages is the kernel line's rule (<see cref="EvictionStep"/>).</remarks>
internal sealed class GenerationEngine(Machine machine, PageReclaim reclaim) : IReclaimEngine
{
    private readonly LruManager _lru = machine.Lru;
    private readonly ReclaimRules _rules = machine.Personality.Reclaim;

    /// <summary>Whether aging walks page tables, instead of waiting for what reverse mapping finds (<c>should_walk_mmu()</c>).</summary>
    public bool WalksPageTables { get; set; } = machine.Personality.Reclaim.GenerationsAtBoot;

    /// <summary>Whether such walks pass over tables that the hardware has not used since the last one (<c>should_clear_pmd_young()</c>).</summary>
    public bool SkipsUnusedTables { get; set; } = machine.Personality.Reclaim.GenerationsAtBoot && machine.Architecture.Architecture is Architecture.X86_64 or Architecture.X86_32Pae;

    /// <summary>Whether the hardware marks tables that it uses: x86 with more than two levels.</summary>
    public bool CanSkipUnusedTables => machine.Architecture.Architecture is Architecture.X86_64 or Architecture.X86_32Pae;

    /// <summary>Generations younger than this are not to be evicted; if all are, somebody is killed (<c>lru_gen_min_ttl</c>); 0 for never.</summary>
    public long MinTimeToLiveNanoseconds { get; set; }

    /// <inheritdoc/>
    public bool JudgesPasses => false;

    /// <inheritdoc/>
    public void BeginAging(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        SetInitialPriority(state, sc);
        if (MinTimeToLiveNanoseconds == 0 || sc.Order != 0 || sc.Priority == ScanControl.DefaultPriority)
        {
            return;
        }

        for (LruVec? vec = state.Lists; vec is not null; vec = vec.NextBelow(state.Lists))
        {
            if (IsOldEnough(vec, sc))
            {
                return;
            }
        }

        // All that is left was used lately: better one process less than all of them waiting for their pages.
        IReadOnlyList<Zone> zones = machine.Nodes[state.Lists.Index].Zones;
        _ = reclaim.OutOfMemory(new ReclaimRequest(cpu, sc.Gfp, 0, sc.ReclaimIndex, zones));
    }

    /// <inheritdoc/>
    public void Begin(NodeReclaimState state, LruVec vec, ScanControl sc)
    {
        sc.EvictionLeft = sc.EvictionDone = 0;
        sc.PassSwappiness = SwappinessOf(vec.Node, sc);
        sc.HasWalk = sc.IsGlobal || sc.IsProactive;

        // Unmapped clean pages come first anyway.
        sc.EvictionIsOver = !sc.MayUnmap || !sc.MayWrite;
        if (!sc.EvictionIsOver && sc.IsGlobal)
        {
            SetInitialPriority(state, sc);
        }

        if (_rules.Eviction == EvictionStep.ByPriorityInBatches)
        {
            sc.EvictionLeft = vec.Generations!.EvictablePages(sc.PassSwappiness) >> sc.Priority;
        }
    }

    /// <inheritdoc/>
    public bool Turn(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc)
    {
        if (sc.EvictionIsOver)
        {
            return false;
        }

        _lru.Drain(cpu);

        return _rules.Eviction == EvictionStep.ByPriorityInBatches ? TurnInBatches(cpu, state, vec, sc) : TurnWhole(cpu, state, vec, sc);
    }

    /// <inheritdoc/>
    public bool HasEnough(NodeReclaimState state, ScanControl sc) => sc.EvictionIsOver || MayStop(state, sc);

    /// <inheritdoc/>
    public void End(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc)
    {
        if (sc.Found.UnqueuedDirty != 0 && sc.Found.UnqueuedDirty == sc.Found.FileTaken)
        {
            // All that is cold is dirty, and nobody writes it.
            reclaim.WakeFlushers?.Invoke(cpu);
        }
    }

    /// <summary>Until 7.2: as much as a fresh look at the lists says.</summary>
    private bool TurnWhole(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc)
    {
        long left = PagesToScan(cpu, state, vec, sc);
        if (left <= 0)
        {
            return false;
        }

        long scanned = Evict(cpu, state, vec, sc, _rules.Eviction == EvictionStep.Batch ? LruGenerations.MaxBatch : left);
        sc.EvictionDone += scanned;
        return scanned != 0 && sc.EvictionDone < left && !MayStop(state, sc);
    }

    /// <summary>7.3: what was found at the beginning, 64 pages at a time; aging does not end it.</summary>
    private bool TurnInBatches(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc)
    {
        if (sc.EvictionLeft <= 0)
        {
            return false;
        }

        LruGenerations generations = vec.Generations!;
        if (generations.IsOutOfCold(sc.PassSwappiness) || (sc.Priority != ScanControl.DefaultPriority && generations.IsLowOnCold(sc.PassSwappiness)))
        {
            sc.HasAged |= Age(cpu, vec, sc);
        }

        long scanned = Evict(cpu, state, vec, sc, Math.Min(sc.EvictionLeft, LruGenerations.MinBatch));
        sc.EvictionLeft -= scanned;
        return scanned != 0 && sc.EvictionLeft > 0 && !MayStop(state, sc);
    }

    /// <summary>Pages to look at now; none while a generation has to be added first (<c>get_nr_to_scan()</c>).</summary>
    private long PagesToScan(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc)
    {
        LruGenerations generations = vec.Generations!;
        int swappiness = sc.PassSwappiness;
        bool none = generations.IsOutOfCold(swappiness);
        long pages = none ? 0 : generations.EvictablePages(swappiness);
        bool ages = none || (_rules.Eviction == EvictionStep.Batch ? generations.IsUneven(swappiness) : generations.IsLowOnCold(swappiness));
        if (!ages || sc.Priority == ScanControl.DefaultPriority)
        {
            return pages >> sc.Priority;
        }

        sc.HasAged |= Age(cpu, vec, sc);
        return 0;
    }

    /// <summary>Adds a generation: page tables are walked, and what was used comes into the youngest there is before (<c>try_to_inc_max_seq()</c>).</summary>
    private bool Age(Cpu cpu, LruVec vec, ScanControl sc)
    {
        LruGenerations generations = vec.Generations!;
        long seen = generations.MaxSequence;
        if (WalksPageTables && machine.Lru.Owners is { } owners)
        {
            sc.HasWalk = true;
            owners.WalkForAging(cpu, vec, new AgingWalk(seen, sc.PassSwappiness, SkipsUnusedTables));
        }

        vec.Enter();
        bool added = generations.AddGeneration(seen, sc.PassSwappiness, machine.Background.NowNanoseconds);
        vec.Exit();
        return added;
    }

    /// <summary>Takes pages of the oldest generation and frees what can be freed (<c>evict_folios()</c>).</summary>
    /// <returns>Pages looked at; 0 when it makes no sense to go on.</returns>
    private long Evict(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc, long limit)
    {
        LruGenerations generations = vec.Generations!;
        vec.Enter();
        if (_rules.Eviction == EvictionStep.ByPriorityInBatches)
        {
            _ = generations.DropEmpty(sc.PassSwappiness);
        }

        GenerationScan scan = default;
        long scanned = Isolate(cpu, vec, sc, limit, ref scan, out int kind);
        if (_rules.Eviction != EvictionStep.ByPriorityInBatches)
        {
            scanned += generations.DropEmpty(sc.PassSwappiness) ? 1 : 0;
            scanned = CannotGoOn(generations, sc.PassSwappiness) ? 0 : scanned;
        }
        else if (scanned != 0)
        {
            _ = generations.DropEmpty(sc.PassSwappiness);
        }

        Debug.Assert(scan.Entries <= sc.Pages.Length && scan.Entries <= scan.Taken, "what was taken is in hand");
        vec.Exit();
        if (scan.Entries != 0)
        {
            Shrink(cpu, state, vec, sc, scan.Entries, scanned, kind);
        }

        return scanned;
    }

    private bool CannotGoOn(LruGenerations generations, int swappiness) => _rules.Eviction == EvictionStep.Batch
        ? generations.Generations(swappiness != 0 ? 0 : 1) == LruGenerations.MinGenerations
        : generations.IsOutOfCold(swappiness);

    /// <summary>Takes from the kind that the controller names, or from the other one where that has nothing (<c>isolate_folios()</c>).</summary>
    private long Isolate(Cpu cpu, LruVec vec, ScanControl sc, long limit, ref GenerationScan scan, out int kind)
    {
        LruGenerations generations = vec.Generations!;
        kind = generations.Control.KindToScan(sc.PassSwappiness, generations.MinSequence(0) < generations.MinSequence(1), out int tier);
        for (int i = 0; i < LruGenerations.Kinds; i++, kind = 1 - kind, tier = -1)
        {
            if (!Swappiness.Evicts(kind, sc.PassSwappiness))
            {
                continue;
            }

            tier = tier < 0 ? generations.Control.LastTier(kind) : tier;
            if (!generations.Scan(_lru, kind, tier, limit, sc.ReclaimIndex, (sc.Gfp & Gfp.Io) != 0, sc.Pages, ref scan))
            {
                continue;
            }

            CountScan(cpu, vec, sc, scan, kind, _rules.Eviction == EvictionStep.ByPriorityInBatches ? limit : LruGenerations.MaxBatch);
            if (scan.HasProgress && scan.Scanned != 0)
            {
                return scan.Scanned;
            }
        }

        return 0;
    }

    private void CountScan(Cpu cpu, LruVec vec, ScanControl sc, in GenerationScan scan, int kind, long asked)
    {
        bool file = kind != 0;
        if (scan.Culled != 0)
        {
            machine.Events.Count(VmEvent.UnevictablePagesCulled, scan.Culled);
        }

        if (scan.Scanned != 0)
        {
            machine.Pressure.Stall(reclaim.Costs.ScanNanoseconds * scan.Scanned, full: !sc.IsKswapd && machine.Cpus.Count == 1);
            reclaim.Counts.CountScanned(vec, sc, scan.Taken, file);
            reclaim.Counts.CountRefilled(vec, sc, scan.Sorted);
            sc.Found.FileTaken += scan.FileDirty;
            sc.Found.UnqueuedDirty += scan.UnqueuedDirty;
        }

        machine.Reclaim.Trace?.LruIsolate(cpu, new LruIsolateEvent(sc.ReclaimIndex, sc.Order, asked, scan.Scanned, scan.Skipped, scan.Taken, !sc.MayUnmap, kind * 2));
    }

    private void Shrink(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc, int entries, long scanned, int kind)
    {
        bool file = kind != 0;
        reclaim.CountEntries(entries);
        for (bool isRetry = false; entries != 0; isRetry = true)
        {
            ScanFindings found = default;
            int kept = 0;
            int freed = 0;
            _lru.SetWalk(cpu, sc.HasWalk);
            long reclaimed = reclaim.ShrinkPages(cpu, state, sc, sc.Pages.AsSpan(0, entries), ref found, ref kept, ref freed);
            _lru.SetWalk(cpu, hasWalk: false);
            _lru.FreeUnreferenced(cpu, sc.Others.AsSpan(0, freed));
            sc.Found.UnqueuedDirty += found.UnqueuedDirty;
            sc.Reclaimed += reclaimed;
            machine.Reclaim.Trace?.LruShrinkInactive(cpu, new LruShrinkInactiveEvent(
                state.Node.Id, scanned, reclaimed, found.Dirty, found.Writeback, found.Congested, found.Immediate,
                found.ActivatedAnon, found.ActivatedFile, found.ReferencedKept, found.UnmapFailed, sc.Priority, file));
            entries = Sort(cpu, vec, sc, kept, isRetry);
            reclaim.Counts.CountStolen(vec, sc, reclaimed, file);
            vec.Counters.Add(LruVecCount.Activate, found.ActivatedAnon + found.ActivatedFile);
        }
    }

    /// <summary>Pages that were not freed: those whose write ended meanwhile are tried again, the others go back, out of the oldest generation.</summary>
    /// <returns>How many are to be tried again, in <see cref="ScanControl.Pages"/>.</returns>
    private int Sort(Cpu cpu, LruVec vec, ScanControl sc, int kept, bool isRetry)
    {
        int again = 0;
        int back = 0;
        for (int i = 0; i < kept; i++)
        {
            int pfn = sc.Kept[i];
            ref PageFrame frame = ref machine.Frames.Array[pfn];
            if (!_lru.IsEvictable(pfn))
            {
                _lru.PutBack(cpu, pfn);
                continue;
            }

            if (!isRetry && !frame.Has(PageFlags.Active | PageFlags.Dirty | PageFlags.Writeback) && frame.MapCount == 0
                && (_rules.Tiers != AccessTiers.BeyondFirst || !frame.Has(PageFlags.Referenced | PageFlags.Locked)))
            {
                sc.Pages[again++] = pfn;
                continue;
            }

            vec.Enter();
            vec.Generations!.KeepOutOfOldest(ref frame, pfn);
            vec.Exit();
            sc.Kept[back++] = pfn;
        }

        _ = _lru.PutBackAll(cpu, vec, sc.Kept.AsSpan(0, back), out int unused);
        _lru.FreeUnreferenced(cpu, sc.Kept.AsSpan(0, unused));
        Debug.Assert(again + back <= kept && (!isRetry || again == 0), "a page is tried again once");
        return again;
    }

    /// <summary>Whether enough was reclaimed, or kswapd has brought all zones above high (<c>should_abort_scan()</c>).</summary>
    private bool MayStop(NodeReclaimState state, ScanControl sc)
    {
        if (!sc.IsGlobal)
        {
            // Until 7.2 a cgroup's share is scanned to its end, so that all of a tree give alike.
            return _rules.Eviction == EvictionStep.ByPriorityInBatches && sc.Reclaimed >= sc.ToReclaim;
        }

        long reclaimed = sc.IsKswapd ? sc.Reclaimed - sc.ReclaimedBefore : sc.Reclaimed;
        if (reclaimed >= Math.Max(sc.ToReclaim, PageReclaim.CompactGap(sc.Order)))
        {
            return true;
        }

        if (!sc.IsKswapd || sc.Order != 0)
        {
            return false;
        }

        for (int i = 0; i <= sc.ReclaimIndex && i < state.Node.Zones.Count; i++)
        {
            Zone zone = state.Node.Zones[i];
            if (zone.ManagedPages != 0
                && !WatermarkCheck.PassesFull(zone, 0, zone.GetWatermarkPages(Watermark.High) + LruGenerations.MinBatch, sc.ReclaimIndex, AllocFlags.WatermarkMin, zone.FreePagesForChecks))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>A run that wants much begins at the priority that should be enough (<c>set_initial_priority()</c>).</summary>
    private void SetInitialPriority(NodeReclaimState state, ScanControl sc)
    {
        if (sc.Priority != ScanControl.DefaultPriority || sc.ToReclaim < LruGenerations.MinBatch)
        {
            return;
        }

        NodeCounters counters = state.Node.Counters;
        long reclaimable = counters.InactiveFile + (reclaim.CanReclaimAnonOf(state.Node) ? counters.InactiveAnon : 0);
        int priority = BitsOf(reclaimable) - 1 - BitsOf(sc.ToReclaim - 1);
        sc.Priority = Math.Clamp(priority, ScanControl.DefaultPriority / 2, ScanControl.DefaultPriority);
    }

    private static int BitsOf(long value) => value <= 0 ? 0 : 64 - System.Numerics.BitOperations.LeadingZeroCount((ulong)value);

    /// <summary>Swappiness for a run: without room in swap, or the right to use it, only files (<c>get_swappiness()</c>); without the right to start I/O files first.</summary>
    private int SwappinessOf(Node node, ScanControl sc)
    {
        int swappiness = sc.MaySwap && (machine.SystemFigures.SwapFreePages >= LruGenerations.MinBatch || (sc.MayDemote && machine.Migration.Tiers.CanDemote(node))) ? sc.Swappiness ?? machine.Settings.Sysctls.Swappiness : 0;
        return swappiness != 0 && (sc.Gfp & Gfp.Io) == 0 ? 1 : swappiness;
    }

    private bool IsOldEnough(LruVec vec, ScanControl sc)
    {
        LruGenerations generations = vec.Generations!;
        int swappiness = SwappinessOf(vec.Node, sc);
        long oldest = _rules.Eviction == EvictionStep.Batch ? generations.MinSequence(1) : generations.EvictableMin(swappiness);
        return generations.EvictablePages(swappiness) >> sc.Priority != 0 && machine.Background.NowNanoseconds - generations.BornNanoseconds(oldest) > MinTimeToLiveNanoseconds;
    }
}
