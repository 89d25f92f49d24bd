using System.Diagnostics;
using MemSim.Background;
using MemSim.Statistics;
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
    public const long ShortSleepNanoseconds = 100_000_000;

    /// <summary>More rounds than this without sleep would be a fault: each one frees a page, or is one of 16 that do not.</summary>
    private const int MaxRounds = 1 << 20;

    private readonly Machine _machine;
    private readonly PageReclaim _reclaim;
    private readonly ScanControl _sc = new();
    private readonly long[] _boosts;
    private IEnumerator<KswapdPause>? _work;
    private Cpu _cpu = null!;
    private NodeReclaimState _state = null!;
    private int _order;
    private int _highestZone = NoZone;
    private long _boosted;
    private long _boost;
    private long _before;
    private bool _raise;
    private bool _isDone;
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

    /// <summary>Whether it lies down and looks again in a tenth of a second, unless it is woken before.</summary>
    public bool IsDozing { get; private set; }

    private new Node Node => base.Node!;

    /// <summary>Wakes it for a request, unless the node has nothing to gain by it (<c>wakeup_kswapd()</c>).</summary>
    public void WakeFor(in ReclaimRequest request)
    {
        if (_highestZone == NoZone || _highestZone < request.HighestZoneIndex)
        {
            _highestZone = request.HighestZoneIndex;
        }

        _order = Math.Max(_order, request.Order);
        if ((IsRunning && !IsDozing) || IsPending)
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

        if (_machine.Background.SharedTime is null && _machine.Clock.Nanoseconds - _sleepsSince < ShortSleepNanoseconds)
        {
            _machine.Events.Count(VmEvent.KswapdLowWmarkHitQuickly);
        }

        _machine.Reclaim.Trace?.WakeupKswapd(request.Cpu, Node.Id, request.HighestZoneIndex, request.Order, request.Gfp);
        _machine.Background.Tasks.Wake(request.Cpu, this);
    }

    /// <summary>Wakes it because the reserve is nearly used up; zones above Normal do not matter then.</summary>
    public void WakeForReserve(Cpu cpu, int normalZone)
    {
        if ((!IsRunning || IsDozing) && !IsPending)
        {
            _highestZone = Math.Min(_highestZone, normalZone);
            _machine.Background.Tasks.Wake(cpu, this);
        }
    }

    /// <inheritdoc/>
    public override void Run(Cpu cpu)
    {
        while (Step(cpu) != KswapdPause.Sleep)
        {
        }
    }

    /// <summary>Works for as long as it has pages in hand: between two steps anybody else may run.</summary>
    /// <returns>Whether it goes on, dozes, or sleeps.</returns>
    /// <remarks>With nobody to share time with (<see cref="MachineBackground.SharedTime"/>) it never dozes.</remarks>
    public KswapdPause Step(Cpu cpu)
    {
        _cpu = cpu;
        _work ??= Work();
        bool done = false;
        try
        {
            done = _work.MoveNext();
            return _work.Current;
        }
        finally
        {
            if (!done)
            {
                // Somebody it called threw: the next wake-up finds a new thread of control.
                _work.Dispose();
                _work = null;
            }
        }
    }

    /// <summary>The thread: made once, goes on where it was whenever it gets a CPU.</summary>
    private IEnumerator<KswapdPause> Work()
    {
        while (true)
        {
            Debug.Assert(!IsRunning && !IsDozing, "who is woken slept");
            IsRunning = true;
            SetStatThresholds(underPressure: true);
            try
            {
                int highest = Node.Zones.Count - 1;
                bool sleeps = false;
                for (int round = 0; round < MaxRounds && !sleeps; round++)
                {
                    int allocOrder = _order;
                    highest = HighestZoneOr(highest);
                    _order = 0;
                    _highestZone = NoZone;
                    _machine.Reclaim.Trace?.KswapdWake(_cpu, Node.Id, highest, allocOrder);
                    BeginBalance(allocOrder, highest);
                    while (BeginPriority(highest))
                    {
                        do
                        {
                            _reclaim.BeginPass(_state, _sc);
                            while (_reclaim.ScanTurn(_cpu, _state, _sc))
                            {
                                yield return KswapdPause.None;
                            }
                        }
                        while (_reclaim.EndPass(_cpu, _state, _sc));
                        EndPriority();
                        yield return KswapdPause.None;
                    }

                    int reclaimOrder = EndBalance(highest);

                    // With the order reached, what was asked for meanwhile decides; else kcompactd is to make the block of what was freed.
                    bool reached = reclaimOrder >= allocOrder;
                    bool dozes = PrepareSleep(reached ? _order : allocOrder, reached ? _order : reclaimOrder, reached ? HighestZoneOr(highest) : highest);
                    if (dozes && _machine.Background.SharedTime is not null)
                    {
                        IsDozing = true;
                        yield return KswapdPause.Doze;
                        IsDozing = false;
                    }

                    sleeps = dozes && EndSleep(reached ? _order : reclaimOrder, reached ? HighestZoneOr(highest) : highest);
                    _machine.Events.Count(VmEvent.KswapdHighWmarkHitQuickly, dozes ? 0 : 1);
                }
            }
            finally
            {
                SetReclaimActive(Node.Zones.Count - 1, active: false);
                SetStatThresholds(underPressure: false);
                IsRunning = IsDozing = false;
            }

            yield return KswapdPause.Sleep;
        }
    }

    /// <summary>Whether one of the usable zones is above its high watermark (<c>pgdat_balanced()</c>).</summary>
    public bool IsBalanced(int order, int highestZone) => IsBalanced(_machine, Node, order, highestZone);

    /// <summary>The same for any node, whether it has a kswapd that runs or not.</summary>
    public static bool IsBalanced(Machine machine, Node node, int order, int highestZone)
    {
        bool any = false;
        Watermark mark = (machine.Migration.Balancing.Mode & NumaBalancingModes.MemoryTiering) != 0 ? Watermark.Promo : Watermark.High;
        for (int i = 0; i <= highestZone && i < node.Zones.Count; i++)
        {
            Zone zone = node.Zones[i];
            if (zone.ManagedPages == 0)
            {
                continue;
            }

            any = true;
            if (WatermarkCheck.PassesFull(zone, order, zone.GetWatermarkPages(mark), highestZone, AllocFlags.WatermarkMin, SafeFreePages(machine, zone)))
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

    /// <summary>Begins to reclaim at falling priorities until the node is balanced (<c>balance_pgdat()</c>).</summary>
    private void BeginBalance(int order, int highestZone)
    {
        _machine.Events.Count(VmEvent.PageOutRun);
        _sc.Start(Gfp.Kernel, order, highestZone, 0, isKswapd: true);
        _boosted = _boost = TakeBoosts(highestZone);
        _state = _reclaim.StateOf(Node);
        SetReclaimActive(highestZone, active: true);
        _isDone = false;
        _sc.Priority = ScanControl.DefaultPriority;
    }

    /// <summary>Prepares the scan at the present priority.</summary>
    /// <returns>False when the node is balanced, or has nothing to give at any priority.</returns>
    private bool BeginPriority(int highestZone)
    {
        ScanControl sc = _sc;
        if (_isDone || sc.Priority < 1)
        {
            return false;
        }

        bool balanced = IsBalanced(sc.Order, highestZone);
        if (!balanced && _boost != 0)
        {
            // Reclaim for real comes first; what was boosted is forgotten.
            _boost = 0;
            sc.Priority = ScanControl.DefaultPriority;
        }

        _isDone = _boost == 0 && balanced;
        if (_isDone)
        {
            return false;
        }

        _raise = _boost == 0 || sc.Priority != ScanControl.DefaultPriority - 2;
        sc.MayWrite = _boost == 0 || sc.Priority < ScanControl.DefaultPriority - 2;
        sc.MaySwap = _boost == 0;
        _reclaim.Engine.BeginAging(_cpu, _state, sc);
        sc.Scanned = 0;
        sc.ToReclaim = 0;
        for (int i = 0; i <= highestZone && i < Node.Zones.Count; i++)
        {
            Zone zone = Node.Zones[i];
            sc.ToReclaim += zone.ManagedPages != 0 ? Math.Max(zone.GetWatermarkPages(Watermark.High), ScanControl.ClusterPages) : 0;
        }

        Debug.Assert(sc.Priority is >= 1 and <= ScanControl.DefaultPriority && sc.ToReclaim >= 0 && _boost <= _boosted, "a priority that kswapd scans at");
        _before = sc.Reclaimed;
        sc.IsReclaimable = false;
        return true;
    }

    /// <summary>Decides about the next priority.</summary>
    private void EndPriority()
    {
        ScanControl sc = _sc;
        if (sc.Order != 0 && sc.Reclaimed >= PageReclaim.CompactGap(sc.Order))
        {
            sc.Order = 0;
        }

        bool raise = _raise && sc.Scanned < sc.ToReclaim;
        long reclaimed = sc.Reclaimed - _before;
        _boost -= Math.Min(_boost, reclaimed);
        if (_boost != 0 && reclaimed == 0)
        {
            sc.Priority = 0;
        }
        else if (raise || reclaimed == 0)
        {
            sc.Priority--;
        }

        Debug.Assert(_boost >= 0 && reclaimed >= 0 && sc.Priority is >= 0 and <= ScanControl.DefaultPriority, "priorities fall to 0 and no further");
    }

    /// <summary>Ends it.</summary>
    /// <returns>The order it still works for: 0 once enough was freed for compaction.</returns>
    private int EndBalance(int highestZone)
    {
        if (!_isDone && _sc.Reclaimed == 0)
        {
            Node.Counters.KswapdFailures++;
        }

        Debug.Assert(IsRunning && !IsDozing, "who balances is awake");
        SetReclaimActive(highestZone, active: false);
        if (_boosted != 0)
        {
            GiveBackBoosts(_cpu, highestZone);
        }

        _state.Lists.SnapshotRefaults();
        return _sc.Order;
    }

    /// <summary>Lies down if the node is balanced (<c>kswapd_try_to_sleep()</c>): what was freed is for kcompactd to make blocks of.</summary>
    private bool PrepareSleep(int allocOrder, int reclaimOrder, int highestZone)
    {
        if (!MaySleep(reclaimOrder, highestZone))
        {
            return false;
        }

        _reclaim.Compactor?.ResetSkipBits(Node);
        _reclaim.Compactor?.WakeDaemon(_cpu, Node, allocOrder, highestZone);
        return true;
    }

    /// <summary>Falls asleep unless it was woken from its doze, or the node is out of balance again after it.</summary>
    private bool EndSleep(int reclaimOrder, int highestZone)
    {
        if (_machine.Background.SharedTime is { } time)
        {
            bool early = time.WokeEarly(this);
            if (early || !MaySleep(reclaimOrder, highestZone))
            {
                _machine.Events.Count(early ? VmEvent.KswapdLowWmarkHitQuickly : VmEvent.KswapdHighWmarkHitQuickly);
                return false;
            }
        }

        _sleepsSince = _machine.Clock.Nanoseconds;
        _machine.Reclaim.Trace?.KswapdSleep(_cpu, Node.Id);
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
        state.Lists.Congested = state.ManyDirty = state.ManyWriteback = false;
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
                zone.EnterLock();
                zone.Boost -= Math.Min(zone.Boost, _boosts[i]);
                zone.ExitLock();
            }
        }

        // A boost came from fragmentation: kcompactd is to make whole page blocks of what was freed.
        _reclaim.Compactor?.WakeDaemon(cpu, Node, _machine.ZoneTable.PageblockOrder, highestZone);
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
                pcp.SetStatThreshold(threshold);
                if (Math.Abs(pcp.FreePagesDiff) > threshold)
                {
                    zone.EnterLock();
                    zone.AddFreePages(pcp, 0);
                    zone.ExitLock();
                }

                if (Math.Abs(pcp.FreeBlocksDiff) > threshold)
                {
                    zone.EnterLock();
                    zone.AddFreeBlocks(pcp, 0);
                    zone.ExitLock();
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
