using System.Diagnostics;
using MemSim.Lru;
using MemSim.Zones;

namespace MemSim.Reclaim;

/// <content>One pass over a node: how much of which list, shrinkers, and whether to go on.</content>
internal sealed partial class PageReclaim
{
    /// <summary>Scans a node's lists and shrinkers at the present priority (<c>shrink_node()</c>).</summary>
    internal void ShrinkNode(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        sc.IsReclaimable = false;
        do
        {
            BeginPass(state, sc);
            while (ScanTurn(cpu, state, sc))
            {
                _machine.Background.SharedTime?.Breathe(cpu);
            }

            _machine.Background.SharedTime?.SendWrites(cpu);
        }
        while (EndPass(cpu, state, sc));
    }

    /// <summary>Begins a pass over the node, or over the part of it that a cgroup's subtree holds: what is to be scanned of its first lists.</summary>
    internal void BeginPass(NodeReclaimState state, ScanControl sc)
    {
        Debug.Assert(sc.Priority is >= 0 and <= ScanControl.DefaultPriority && sc.Demoted.Count == 0, "a priority that exists, and no page in hand");
        sc.Found = default;
        sc.ReclaimedBefore = sc.Reclaimed;
        sc.ScannedBefore = sc.Scanned;
        LruVec target = TargetOf(state, sc);
        PrepareScan(state, target, sc);
        sc.TakesTurns = TakesTurns(sc);
        if (sc.TakesTurns)
        {
            BeginTurns(state, sc);
            NoteZoneScan(state, sc);
            return;
        }

        sc.Lists = FirstLists(target, sc);
        while (IsProtected(sc.Lists, sc) && sc.Lists.NextBelow(target) is { } next)
        {
            sc.Lists = next;
        }

        target.WalkPosition = sc.Lists;
        BeginLists(state, sc);
        NoteZoneScan(state, sc);
    }

    /// <summary>Ends a pass: the last lists' other caches shrink in proportion, and what was found has consequences.</summary>
    /// <returns>Whether another pass is to follow.</returns>
    internal bool EndPass(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        Passes++;
        if (!sc.ListsAreDone)
        {
            EndLists(cpu, state, sc);
        }

        Debug.Assert(sc.Reclaimed >= sc.ReclaimedBefore && sc.Scanned >= sc.ScannedBefore && sc.PassFreed == 0, "a pass adds to what was scanned and reclaimed, and has handed in what it freed");
        NotePressure(sc, sc.Scanned - sc.ScannedBefore, sc.Reclaimed - sc.ReclaimedBefore);
        sc.IsReclaimable |= sc.Reclaimed != sc.ReclaimedBefore;
        bool judges = Engine.JudgesPasses;
        if (judges)
        {
            AfterPass(cpu, state, sc);
        }

        bool again = judges && MustContinueForCompaction(state, sc.Reclaimed - sc.ReclaimedBefore, sc);
        if (!again && sc.IsReclaimable)
        {
            state.Node.Counters.KswapdFailures = 0;
        }

        return again;
    }

    /// <summary>The top of the tree that a run reclaims from, on a node: the root's lists, or those of the cgroup whose limit it works for.</summary>
    private LruVec TargetOf(NodeReclaimState state, ScanControl sc) => sc.Target is { } cgroup ? _lru.VecOf(state.Lists.Index, cgroup)! : state.Lists;

    private void BeginLists(NodeReclaimState state, ScanControl sc)
    {
        sc.HasAged = false;
        Engine.Begin(state, sc.Lists!, sc);
        sc.PassFreed = 0;
        sc.ListsAreDone = false;
    }

    /// <summary>What follows the scan of a cgroup's lists: its anonymous pages age, its other caches shrink.</summary>
    private void EndLists(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        sc.Reclaimed += sc.PassFreed;
        sc.PassFreed = 0;
        Engine.End(cpu, state, sc.Lists!, sc);
        if (sc.Lists!.Parent is null)
        {
            // The other caches are the root's.
            sc.Reclaimed += Shrinkers.Shrink(cpu, sc.Gfp, state.Node, sc.Priority);
        }

        if (sc.TakesTurns)
        {
            EndTurn(state, sc);
        }
    }

    /// <summary>Goes on to the next cgroup's lists (<c>mem_cgroup_iter()</c> in <c>shrink_node_memcgs()</c>).</summary>
    /// <returns>False when those at hand are the last.</returns>
    private bool NextLists(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        if (sc.TakesTurns)
        {
            return NextTurn(cpu, state, sc);
        }

        LruVec target = TargetOf(state, sc);
        LruVec? next = sc.Lists!.NextBelow(target);
        if (next is null && ReferenceEquals(target, sc.Lists))
        {
            return false;
        }

        EndLists(cpu, state, sc);
        if (sc.IsPartial && sc.Reclaimed >= sc.ToReclaim)
        {
            Array.Clear(sc.Left);
            sc.ListsAreDone = true;
            return false;
        }

        while (next is not null && IsProtected(next, sc))
        {
            next = next.NextBelow(target);
        }

        target.WalkPosition = next;
        sc.ListsAreDone = next is null;
        if (next is null)
        {
            return false;
        }

        sc.Lists = next;
        BeginLists(state, sc);
        return true;
    }

    /// <summary>Draws conclusions from what the pass found: who writes, who waits.</summary>
    private void AfterPass(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        ref ScanFindings found = ref sc.Found;
        LruVec target = TargetOf(state, sc);
        if (sc.IsKswapd)
        {
            state.ManyWriteback |= found.Writeback != 0 && found.Writeback == found.Taken;
            state.ManyDirty |= found.UnqueuedDirty != 0 && found.UnqueuedDirty == found.FileTaken;
            if (found.Immediate != 0)
            {
                Throttle(cpu, state.Node, ReclaimThrottleReason.Writeback);
            }
        }

        if (sc.IsKswapd || sc.Target is not null)
        {
            target.Congested |= found.Dirty != 0 && found.Dirty == found.Congested;
        }

        if (!sc.IsKswapd && target.Congested)
        {
            Throttle(cpu, state.Node, ReclaimThrottleReason.Congested);
        }
    }

    /// <summary>Looks at the lists before the scan (<c>prepare_scan_count()</c>): may active pages be touched, is there plenty of unused cache, is there hardly any.</summary>
    private static void PrepareScan(NodeReclaimState state, LruVec target, ScanControl sc)
    {
        sc.AnonCost = target.AnonCost;
        sc.FileCost = target.FileCost;
        sc.DeactivateAnon = sc.ForceDeactivate || target.WorkingsetActivated(file: false) != target.RefaultsAnon || InactiveIsLow(target, file: false);
        sc.DeactivateFile = sc.ForceDeactivate || target.WorkingsetActivated(file: true) != target.RefaultsFile || InactiveIsLow(target, file: true);
        sc.CacheTrim = target.Size(LruList.InactiveFile) >> sc.Priority != 0 && !sc.DeactivateFile;
        sc.FileIsTiny = false;
        if (sc.Target is not null)
        {
            return;
        }

        long high = 0;
        long free = 0;
        IReadOnlyList<Zone> zones = state.Node.Zones;
        for (int i = 0; i < zones.Count; i++)
        {
            free += zones[i].FreePagesForChecks;
            high += zones[i].ManagedPages != 0 ? zones[i].GetWatermarkPages(Watermark.High) : 0;
        }

        NodeCounters counters = state.Node.Counters;
        sc.FileIsTiny = counters.ActiveFile + counters.InactiveFile + free <= high && !sc.DeactivateAnon && counters.InactiveAnon >> sc.Priority != 0;
    }

    /// <summary>Whether there are too few inactive pages for the active ones (<c>inactive_is_low()</c>): the larger memory is, the smaller the part that has to be inactive.</summary>
    internal static bool InactiveIsLow(LruVec lists, bool file)
    {
        long inactive = lists.Size(file ? LruList.InactiveFile : LruList.InactiveAnon);
        long active = lists.Size(file ? LruList.ActiveFile : LruList.ActiveAnon);
        long gibibytes = (inactive + active) >> (30 - PageGeometry.PageShift);
        long ratio = gibibytes != 0 ? (long)Math.Sqrt(10 * gibibytes) : 1;
        return inactive * ratio < active;
    }

    /// <summary>How many pages of each list to scan (<c>get_scan_count()</c>).</summary>
    internal void CountScan(NodeReclaimState state, ScanControl sc)
    {
        LruVec vec = sc.Lists ?? state.Lists;
        int swappiness = sc.Swappiness ?? _machine.Settings.Sysctls.Swappiness;
        bool anonToo = sc.MaySwap && (_lru.SwapFreePages(vec) > 0 || CanDemote(state, sc)) && (sc.Target is null || swappiness != 0);
        bool asked = anonToo && swappiness == CgroupTree.OnlyAnonymous;
        bool equal = anonToo && !asked && sc.Priority == 0 && swappiness != 0;
        bool onlyAnon = asked || (anonToo && !equal && sc.FileIsTiny);
        bool onlyFile = !anonToo || (!equal && !onlyAnon && sc.CacheTrim);
        long total = sc.AnonCost + sc.FileCost;
        long anonCost = total + sc.AnonCost;
        long fileCost = total + sc.FileCost;
        total = anonCost + fileCost;
        long anonPart = swappiness * (total + 1) / (anonCost + 1);
        long filePart = (200 - swappiness) * (total + 1) / (fileCost + 1);
        long parts = anonPart + filePart;
        for (LruList list = LruList.InactiveAnon; list <= LruList.ActiveFile; list++)
        {
            bool file = list >= LruList.InactiveFile;
            long size = vec.Size(list, sc.ReclaimIndex);
            long scan = (vec.CgroupId == 0 ? size : Unprotected(vec, size, sc)) >> sc.Priority;
            bool online = scan != 0 && vec.CgroupId == 0 || IsOnline(vec);
            if (scan == 0 && !online)
            {
                // What is left of a removed cgroup is scraped together.
                scan = Math.Min(size, ScanControl.ClusterPages);
            }

            if (file ? onlyAnon : onlyFile)
            {
                scan = 0;
            }
            else if (!onlyAnon && !onlyFile && !equal)
            {
                scan = (long)((((Int128)scan * (file ? filePart : anonPart)) + (online ? 0 : parts - 1)) / parts);
            }

            Debug.Assert(scan >= 0 && scan <= Math.Max(size, ScanControl.ClusterPages), "no more is to be scanned than there is");
            sc.Left[(int)list] = sc.Targets[(int)list] = scan;
        }
    }

    /// <summary>Scans up to 32 pages of each list that has some left to scan, keeping their proportion (the loop of <c>shrink_lruvec()</c>). No page is in hand between two turns.</summary>
    /// <returns>Whether there may be another turn.</returns>
    internal bool ScanTurn(Cpu cpu, NodeReclaimState state, ScanControl sc) =>
        (!sc.Lists!.IsGone && Engine.Turn(cpu, state, sc.Lists, sc)) || (!Engine.HasEnough(state, sc) && NextLists(cpu, state, sc));

    /// <summary>The same of one cgroup's active and inactive lists.</summary>
    internal bool ScanListsTurn(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        long[] left = sc.Left;
        if (left[0] == 0 && left[2] == 0 && left[3] == 0)
        {
            return false;
        }

        for (LruList list = LruList.InactiveAnon; list <= LruList.ActiveFile; list++)
        {
            if (left[(int)list] != 0)
            {
                long scan = Math.Min(left[(int)list], ScanControl.ClusterPages);
                left[(int)list] -= scan;
                sc.PassFreed += ShrinkList(cpu, state, list, scan, sc);
                Debug.Assert(left[(int)list] >= 0 && left[(int)list] <= sc.Targets[(int)list] && sc.PassFreed >= 0, "what is left to scan is a part of what was to be");
            }
        }

        // The first, mildest round of direct reclaim scans all it set out to, so that no list is spared for ever.
        bool all = !sc.IsKswapd && sc.Target is null && sc.Priority == ScanControl.DefaultPriority;
        return sc.PassFreed < sc.ToReclaim || all || KeepProportion(sc);
    }

    /// <summary>Enough is reclaimed: the kind of page of which less is left to scan is left alone, the other one scanned as far as the first was.</summary>
    /// <returns>False when one kind is through.</returns>
    private static bool KeepProportion(ScanControl sc)
    {
        long[] left = sc.Left;
        long[] targets = sc.Targets;
        long anon = left[0] + left[1];
        long file = left[2] + left[3];
        if (anon == 0 || file == 0)
        {
            return false;
        }

        int less = file > anon ? 0 : 2;
        long percentage = (file > anon ? anon : file) * 100 / (targets[less] + targets[less + 1] + 1);
        left[less] = left[less + 1] = 0;
        for (int list = 2 - less; list <= 3 - less; list++)
        {
            long scanned = targets[list] - left[list];
            long target = targets[list] * (100 - percentage) / 100;
            left[list] = target - Math.Min(target, scanned);
            Debug.Assert(scanned >= 0 && left[list] >= 0 && left[list] <= targets[list], "the other kind is scanned no further than it was to be");
        }

        return true;
    }

    private long ShrinkList(Cpu cpu, NodeReclaimState state, LruList list, long scan, ScanControl sc)
    {
        if (list is not (LruList.ActiveAnon or LruList.ActiveFile))
        {
            return ShrinkInactive(cpu, state, sc.Lists!, list, scan, sc);
        }

        if (list == LruList.ActiveFile ? sc.DeactivateFile : sc.DeactivateAnon)
        {
            ShrinkActive(cpu, state, sc.Lists!, list, scan, sc);
        }
        else
        {
            sc.SkippedDeactivate = true;
        }

        return 0;
    }

    /// <summary>Whether to go on reclaiming so that compaction finds room for a large order (<c>should_continue_reclaim()</c>).</summary>
    private bool MustContinueForCompaction(NodeReclaimState state, long reclaimed, ScanControl sc)
    {
        bool compacts = sc.Order != 0 && Compactor is not null && (sc.Order > PageGeometry.CostlyOrder || sc.Priority < ScanControl.DefaultPriority - 2);
        if (!compacts || reclaimed == 0)
        {
            return false;
        }

        for (int i = 0; i <= sc.ReclaimIndex && i < state.Node.Zones.Count; i++)
        {
            Zone zone = state.Node.Zones[i];
            if (zone.ManagedPages != 0 && IsSuitableForCompaction(zone, sc))
            {
                return false;
            }
        }

        long inactive = state.Node.Counters.InactiveFile + (CanReclaimAnonOf(state.Node) ? state.Node.Counters.InactiveAnon : 0);
        return inactive > CompactGap(sc.Order);
    }

    private static bool IsSuitableForCompaction(Zone zone, ScanControl sc)
    {
        if (WatermarkCheck.PassesFull(zone, sc.Order, zone.GetWatermarkPages(Watermark.Min), sc.ReclaimIndex, AllocFlags.WatermarkMin, zone.FreePagesForChecks))
        {
            return true;
        }

        long mark = zone.GetWatermarkPages(sc.Order > PageGeometry.CostlyOrder ? Watermark.Low : Watermark.Min) + CompactGap(sc.Order);
        return WatermarkCheck.PassesFull(zone, 0, mark, sc.ReclaimIndex, AllocFlags.Cma, zone.FreePagesForChecks);
    }

    private void NoteZoneScan(NodeReclaimState state, ScanControl sc)
    {
        IReadOnlyList<Zone> zones = state.Node.Zones;
        for (int i = 0; i <= sc.ReclaimIndex && i < zones.Count; i++)
        {
            ZoneCounters counters = zones[i].Counters;
            ref ZoneScan scan = ref _zoneScans[zones[i].Id];
            scan.Active = (counters.ActiveAnon + counters.ActiveFile) >> sc.Priority;
            scan.Inactive = (counters.InactiveAnon + counters.InactiveFile) >> sc.Priority;
            scan.LowestPriority = sc.Priority == ScanControl.DefaultPriority ? sc.Priority : Math.Min(scan.LowestPriority, sc.Priority);
            scan.Priority = sc.Priority;
        }
    }
}
