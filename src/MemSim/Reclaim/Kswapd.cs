using MemSim.Background;
using MemSim.Lru;
using MemSim.Observability.Proc;
using MemSim.PageAllocation;
using MemSim.Zones;

namespace MemSim.Reclaim;

/// <summary>A node's kswapd: reclaims from when a zone falls below its low watermark until one is above high.</summary>
/// <remarks>Kernel 6.1: <c>kswapd()</c>, <c>balance_pgdat()</c>, <c>wakeup_kswapd()</c>.</remarks>
internal sealed class Kswapd : BackgroundTask
{
    private const int NoZone = int.MaxValue;
    private const int FirstPid = 38;
    private const int MaxStatThreshold = 125;

    /// <summary>Woken within this time, it slept too soon (<c>HZ/10</c>).</summary>
    private const long ShortSleepNanoseconds = 100_000_000;

    /// <summary>More rounds than this without sleep would be a fault: each one frees a page, or is one of 16 that do not.</summary>
    private const int MaxRounds = 1 << 20;

    private readonly Machine _machine;
    private readonly PageReclaim _reclaim;
    private readonly ScanControl _sc = new();
    private readonly long[] _boosts;
    private int _order;
    private int _highestZone = NoZone;
    private long _sleepsSince = long.MinValue / 2;

    public Kswapd(Machine machine, PageReclaim reclaim, Node node)
        : base($"kswapd{node.Id}", FirstPid + node.Id, node, TaskFlags.MemAlloc)
    {
        _machine = machine;
        _reclaim = reclaim;
        _boosts = new long[node.Zones.Count];
    }

    /// <summary>Whether it is at work.</summary>
    public bool IsRunning { get; private set; }

    private new Node Node => base.Node!;

    /// <summary>Wakes it for a request, unless the node has nothing to gain by it (<c>wakeup_kswapd()</c>).</summary>
    public void WakeFor(in ReclaimRequest request)
    {
        if (_highestZone == NoZone || _highestZone < request.HighestZoneIndex)
        {
            _highestZone = request.HighestZoneIndex;
        }

        _order = Math.Max(_order, request.Order);
        if (IsRunning || IsPending)
        {
            return;
        }

        bool hopeless = Node.Counters.KswapdFailures >= PageReclaim.MaxFailures;
        if (hopeless || (IsBalanced(request.Order, request.HighestZoneIndex) && !IsBoosted(request.HighestZoneIndex)))
        {
            if ((request.Gfp & Gfp.DirectReclaim) == 0)
            {
                // Enough is free, but not in one piece: the request cannot compact by itself.
                _reclaim.Compactor?.WakeDaemon(request.Cpu, Node, request.Order, request.HighestZoneIndex);
            }

            return;
        }

        if (_machine.Clock.Nanoseconds - _sleepsSince < ShortSleepNanoseconds)
        {
            _machine.Events.Count(VmEvent.KswapdLowWmarkHitQuickly);
        }

        _machine.ReclaimTrace?.WakeupKswapd(request.Cpu, Node.Id, request.HighestZoneIndex, request.Order, request.Gfp);
        _machine.Background.Wake(request.Cpu, this);
    }

    /// <summary>Wakes it because the reserve is nearly used up; zones above Normal do not matter then.</summary>
    public void WakeForReserve(Cpu cpu, int normalZone)
    {
        if (!IsRunning && !IsPending)
        {
            _highestZone = Math.Min(_highestZone, normalZone);
            _machine.Background.Wake(cpu, this);
        }
    }

    /// <inheritdoc/>
    public override void Run(Cpu cpu)
    {
        IsRunning = true;
        SetStatThresholds(underPressure: true);
        try
        {
            int highest = Node.Zones.Count - 1;
            for (int round = 0; round < MaxRounds; round++)
            {
                int allocOrder = _order;
                highest = HighestZoneOr(highest);
                _order = 0;
                _highestZone = NoZone;
                _machine.ReclaimTrace?.KswapdWake(cpu, Node.Id, highest, allocOrder);
                int reclaimOrder = Balance(cpu, allocOrder, highest);

                // With the order reached, what was asked for meanwhile decides; else kcompactd is to make the block of what was freed.
                bool sleeps = reclaimOrder < allocOrder
                    ? TrySleep(cpu, allocOrder, reclaimOrder, highest)
                    : TrySleep(cpu, _order, _order, HighestZoneOr(highest));
                if (sleeps)
                {
                    return;
                }
            }
        }
        finally
        {
            SetReclaimActive(Node.Zones.Count - 1, active: false);
            SetStatThresholds(underPressure: false);
            IsRunning = false;
        }
    }

    /// <summary>Whether one of the usable zones is above its high watermark (<c>pgdat_balanced()</c>).</summary>
    public bool IsBalanced(int order, int highestZone) => IsBalanced(_machine, Node, order, highestZone);

    /// <summary>The same for any node, whether it has a kswapd that runs or not.</summary>
    public static bool IsBalanced(Machine machine, Node node, int order, int highestZone)
    {
        bool any = false;
        for (int i = 0; i <= highestZone && i < node.Zones.Count; i++)
        {
            Zone zone = node.Zones[i];
            if (zone.ManagedPages == 0)
            {
                continue;
            }

            any = true;
            if (WatermarkCheck.PassesFull(zone, order, zone.GetWatermarkPages(Watermark.High), highestZone, AllocFlags.WatermarkMin, SafeFreePages(machine, zone)))
            {
                return true;
            }
        }

        return !any;
    }

    private bool IsBoosted(int highestZone)
    {
        for (int i = 0; i <= highestZone && i < Node.Zones.Count; i++)
        {
            if (Node.Zones[i].ManagedPages != 0 && Node.Zones[i].Boost != 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The free pages, counted exactly where the CPUs' unfolded parts could hide a crossed watermark (<c>percpu_drift_mark</c>).</summary>
    private static long SafeFreePages(Machine machine, Zone zone)
    {
        long free = zone.FreePagesForChecks;
        long drift = DriftMark(machine, zone);
        return drift != 0 && free < drift ? Math.Max(0, zone.TrueFreePages) : free;
    }

    private static long DriftMark(Machine machine, Zone zone)
    {
        long drift = (long)NormalThreshold(machine, zone) * OnlineCpus(machine);
        return drift > zone.MarkLow - zone.MarkMin ? zone.MarkHigh + drift : 0;
    }

    /// <summary>Reclaims at falling priorities until the node is balanced (<c>balance_pgdat()</c>).</summary>
    /// <returns>The order it still works for: 0 once enough was freed for compaction.</returns>
    private int Balance(Cpu cpu, int order, int highestZone)
    {
        _machine.Events.Count(VmEvent.PageOutRun);
        ScanControl sc = _sc;
        sc.Start(Gfp.Kernel, order, highestZone, 0, isKswapd: true);
        long boosted = TakeBoosts(highestZone);
        long boost = boosted;
        NodeReclaimState state = _reclaim.StateOf(Node);
        SetReclaimActive(highestZone, active: true);
        bool done = false;
        sc.Priority = ScanControl.DefaultPriority;
        do
        {
            long before = sc.Reclaimed;
            bool balanced = IsBalanced(sc.Order, highestZone);
            if (!balanced && boost != 0)
            {
                // Reclaim for real comes first; what was boosted is forgotten.
                boost = 0;
                sc.Priority = ScanControl.DefaultPriority;
                continue;
            }

            done = boost == 0 && balanced;
            if (done)
            {
                break;
            }

            bool raise = boost == 0 || sc.Priority != ScanControl.DefaultPriority - 2;
            sc.MayWrite = boost == 0 || sc.Priority < ScanControl.DefaultPriority - 2;
            sc.MaySwap = boost == 0;
            AgeAnonymous(cpu, state, sc);
            sc.Scanned = 0;
            raise &= !Shrink(cpu, state, sc, highestZone);
            long reclaimed = sc.Reclaimed - before;
            boost -= Math.Min(boost, reclaimed);
            if (boost != 0 && reclaimed == 0)
            {
                break;
            }

            if (raise || reclaimed == 0)
            {
                sc.Priority--;
            }
        }
        while (sc.Priority >= 1);

        if (!done && sc.Reclaimed == 0)
        {
            Node.Counters.KswapdFailures++;
        }

        SetReclaimActive(highestZone, active: false);
        if (boosted != 0)
        {
            GiveBackBoosts(cpu, highestZone);
        }

        state.SnapshotRefaults();
        return sc.Order;
    }

    private bool Shrink(Cpu cpu, NodeReclaimState state, ScanControl sc, int highestZone)
    {
        sc.ToReclaim = 0;
        for (int i = 0; i <= highestZone && i < Node.Zones.Count; i++)
        {
            Zone zone = Node.Zones[i];
            sc.ToReclaim += zone.ManagedPages != 0 ? Math.Max(zone.GetWatermarkPages(Watermark.High), ScanControl.ClusterPages) : 0;
        }

        _reclaim.ShrinkNode(cpu, state, sc);
        if (sc.Order != 0 && sc.Reclaimed >= PageReclaim.CompactGap(sc.Order))
        {
            sc.Order = 0;
        }

        return sc.Scanned >= sc.ToReclaim;
    }

    private void AgeAnonymous(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        if (_machine.SystemFigures.SwapTotalPages > 0 && PageReclaim.InactiveIsLow(state.Lists, file: false))
        {
            _reclaim.ShrinkActive(cpu, state, LruList.ActiveAnon, ScanControl.ClusterPages, sc);
        }
    }

    /// <summary>Sleeps if the node is balanced (<c>kswapd_try_to_sleep()</c>).</summary>
    private bool TrySleep(Cpu cpu, int allocOrder, int reclaimOrder, int highestZone)
    {
        if (!MaySleep(reclaimOrder, highestZone))
        {
            _machine.Events.Count(VmEvent.KswapdHighWmarkHitQuickly);
            return false;
        }

        _reclaim.Compactor?.ResetSkipBits(Node);
        _reclaim.Compactor?.WakeDaemon(cpu, Node, allocOrder, highestZone);
        _sleepsSince = _machine.Clock.Nanoseconds;
        _machine.ReclaimTrace?.KswapdSleep(cpu, Node.Id);
        return true;
    }

    private bool MaySleep(int order, int highestZone)
    {
        if (Node.Counters.KswapdFailures >= PageReclaim.MaxFailures)
        {
            return true;
        }

        if (!IsBalanced(order, highestZone))
        {
            return false;
        }

        NodeReclaimState state = _reclaim.StateOf(Node);
        state.Congested = state.ManyDirty = state.ManyWriteback = false;
        return true;
    }

    private int HighestZoneOr(int otherwise) => _highestZone == NoZone ? otherwise : _highestZone;

    private long TakeBoosts(int highestZone)
    {
        long sum = 0;
        for (int i = 0; i <= highestZone && i < Node.Zones.Count; i++)
        {
            Zone zone = Node.Zones[i];
            _boosts[i] = zone.ManagedPages != 0 ? zone.Boost : 0;
            sum += _boosts[i];
        }

        return sum;
    }

    private void GiveBackBoosts(Cpu cpu, int highestZone)
    {
        for (int i = 0; i <= highestZone && i < Node.Zones.Count; i++)
        {
            Zone zone = Node.Zones[i];
            if (_boosts[i] != 0)
            {
                _machine.Lock(zone);
                zone.Boost -= Math.Min(zone.Boost, _boosts[i]);
                _machine.Unlock(zone);
            }
        }

        // A boost came from fragmentation: kcompactd is to make whole page blocks of what was freed.
        _reclaim.Compactor?.WakeDaemon(cpu, Node, _machine.PageblockOrder, highestZone);
    }

    private void SetReclaimActive(int highestZone, bool active)
    {
        for (int i = 0; i <= highestZone && i < Node.Zones.Count; i++)
        {
            Zone zone = Node.Zones[i];
            if (zone.ManagedPages != 0)
            {
                zone.Flags = active ? zone.Flags | ZoneFlags.ReclaimActive : zone.Flags & ~ZoneFlags.ReclaimActive;
            }
        }
    }

    /// <summary>While kswapd is awake the CPUs keep fewer free pages to themselves, lest a watermark be missed (<c>set_pgdat_percpu_threshold()</c>). Only zones whose counters could drift that far are changed.</summary>
    private void SetStatThresholds(bool underPressure)
    {
        for (int i = 0; i < Node.Zones.Count; i++)
        {
            Zone zone = Node.Zones[i];
            if (zone.ManagedPages == 0 || DriftMark(_machine, zone) == 0)
            {
                continue;
            }

            int normal = NormalThreshold(_machine, zone);
            int threshold = underPressure ? (int)Math.Clamp((zone.MarkLow - zone.MarkMin) / OnlineCpus(_machine), 1, MaxStatThreshold) : normal;
            foreach (PerCpuPages pcp in zone.Pcp)
            {
                pcp.StatThreshold = threshold;
                if (Math.Abs(pcp.FreePagesDiff) > threshold)
                {
                    _machine.Lock(zone);
                    zone.AddFreePages(pcp, 0);
                    _machine.Unlock(zone);
                }
            }
        }
    }

    private static int NormalThreshold(Machine machine, Zone zone)
    {
        ZoneReserve[] figures = machine.Settings.Figures.Zones;
        return zone.Id < figures.Length ? figures[zone.Id].StatThreshold : 0;
    }

    private static int OnlineCpus(Machine machine)
    {
        int online = 0;
        foreach (Cpu cpu in machine.Cpus)
        {
            online += cpu.IsOnline ? 1 : 0;
        }

        return Math.Max(1, online);
    }
}
