using MemSim.Background;
using MemSim.Reclaim;
using MemSim.Statistics;

namespace MemSim.Recordings.Workloads;

/// <summary>Lets kswapd work at the same time as the tasks that use memory up, on a simulated clock: it gets a CPU when the scheduler would give it one, and as far as its time allows.</summary>
/// <remarks>
/// One task at a time drives the machine; whatever it does is billed by what was counted meanwhile (<see cref="WorkCosts"/>). On a machine of one CPU kswapd and
/// the task take turns as two threads of equal weight do under the kernel's fair scheduler (turns of three milliseconds that end at a timer tick; who slept comes
/// first); with more CPUs kswapd has one for itself. Writes to swap end when their time has come, and who is throttled waits for that.
/// </remarks>
internal sealed partial class TimeShares : ISharedTime
{
    private const long Turn = 3_000_000;
    private const long SleeperBonus = 3_000_000;
    private const long WakeupGranularity = 1_000_000;
    private const long MaxThrottle = 100_000_000;
    private const long KcompactdInterval = 500_000_000;

    private readonly Machine _machine;
    private readonly WorkCosts _costs;
    private readonly VmEvents _events;
    private readonly Queue<long> _writes = new();
    private readonly List<Thread> _threads = [];
    private readonly Cpu _ownCpu;
    private readonly bool _oneCpu;
    private long _taskRuntime;
    private long _turnSince;
    private long _lastTick;
    private long _lastKcompactd;
    private long _deviceFreeAt;
    private long _written;
    private long _billed;
    private long _swapOuts;
    private bool _isInBackground;
    private Thread? _running;

    public TimeShares(Machine machine, WorkCosts costs)
    {
        _machine = machine;
        _costs = costs;
        _events = machine.Events;
        _ownCpu = machine.Cpus[0];
        int online = 0;
        foreach (Cpu cpu in machine.Cpus)
        {
            if (cpu.IsOnline)
            {
                _ownCpu = cpu;
                online++;
            }
        }

        _oneCpu = online < 2;
        _billed = CountedWork();
        _swapOuts = _events[VmEvent.SwapOut];
        _swapReads = _events[VmEvent.SwapReads];
        _host = costs.Kick != 0 ? new HostShare() : null;
    }

    /// <summary>From now on the machine's kswapd works at the same time as whoever uses it, who says with <see cref="Breathe"/> when he can be interrupted.</summary>
    public static TimeShares Of(Machine machine, WorkCosts costs)
    {
        TimeShares time = new(machine, costs);
        machine.Background.ShareTime(time);
        return time;
    }

    /// <summary>The clock, in nanoseconds.</summary>
    public long Now { get; private set; }

    /// <summary>Time that kswapd was at work.</summary>
    public long BackgroundNanoseconds { get; private set; }

    /// <summary>The task reached a point at which others may run: what it did is billed, and whoever is due gets his turn.</summary>
    public void Breathe(Cpu cpu)
    {
        if (!_isInBackground)
        {
            Spend(cpu, Bill());
        }
        else if (_running is null)
        {
            SpendAsWorker(cpu);
        }
    }

    /// <summary>The task works on something that nothing counts.</summary>
    public void Spend(Cpu cpu, long nanoseconds)
    {
        _taskRuntime += nanoseconds;
        Now += nanoseconds;
        if (_host is not null)
        {
            ShareHost(cpu, nanoseconds);
        }

        Settle(cpu);
        if (_oneCpu)
        {
            ShareCpu(cpu);
        }
    }

    /// <summary>The task sleeps; others run meanwhile.</summary>
    /// <param name="cpu">The task's CPU.</param>
    /// <param name="nanoseconds">At most how long.</param>
    /// <param name="isOver">Whether it may go on before; null for never.</param>
    public void Sleep(Cpu cpu, long nanoseconds, Func<bool>? isOver = null)
    {
        if (_isInBackground)
        {
            if (_running is null)
            {
                SleepAsWorker(cpu, nanoseconds, isOver);
            }

            return;
        }

        Spend(cpu, Bill());
        if (_host is { IsWaiting: true })
        {
            ServeWrites(cpu);
        }

        long until = Now + nanoseconds;
        while (Now < until && isOver?.Invoke() != true)
        {
            Thread? next = NextRunnable();
            if (next is null || (!_oneCpu && next.Time >= until))
            {
                Now = Math.Max(Now, Math.Min(until, NextEvent(until)));
            }
            else
            {
                Step(next, cpu);
                Now = _oneCpu ? Now : Math.Max(Now, Math.Min(next.Time, until));
            }

            Settle(cpu);
        }

        // Who slept comes first, unless the other one had less.
        if (_oneCpu && NextRunnable() is { } other)
        {
            _taskRuntime = Math.Max(_taskRuntime, other.Runtime - SleeperBonus);
            if (other.Runtime - _taskRuntime <= WakeupGranularity)
            {
                RunTurn(other, cpu);
            }
        }

        _turnSince = Now;
    }

    /// <summary>Reclaim gets nowhere (<c>reclaim_throttle()</c>).</summary>
    public void Throttle(Cpu cpu, Node node, ReclaimThrottleReason reason)
    {
        long ticks = reason == ReclaimThrottleReason.Isolated ? 5 : 1;
        bool forWrites = reason == ReclaimThrottleReason.Writeback;
        if (!forWrites && reason != ReclaimThrottleReason.Isolated && IsMostlyIdle(node))
        {
            return;
        }

        long time = forWrites ? MaxThrottle : ticks * _costs.Tick;
        long enough = forWrites ? _written + ScanControl.ClusterPages : long.MaxValue;
        if (_running is { } thread)
        {
            thread.BlockedUntil = Now + time;
            thread.BlockedUntilWritten = enough;
            return;
        }

        Sleep(cpu, time, () => _written > enough);
    }

    /// <summary>Before somebody is killed the report is printed; meanwhile others may free memory.</summary>
    public void ReportOutOfMemory(Cpu cpu)
    {
        if (!_isInBackground)
        {
            Spend(cpu, Bill() + _costs.OomReport);
        }
    }

    /// <summary>kswapd is to run.</summary>
    public bool Wake(BackgroundTask task)
    {
        if (task is not Kswapd kswapd)
        {
            return false;
        }

        Thread? thread = _threads.Find(t => t.Kswapd == kswapd);
        if (thread is null)
        {
            _threads.Add(thread = new Thread(kswapd));
        }

        thread.WokeEarly = thread.DozesUntil != 0;
        thread.DozesUntil = 0;
        kswapd.IsPending = true;
        MakeRunnable(thread);
        return true;
    }

    /// <summary>Whether somebody woke it before its doze was over.</summary>
    public bool WokeEarly(BackgroundTask task) => _threads.Exists(t => t.Kswapd == task && t.WokeEarly);

    private void MakeRunnable(Thread thread)
    {
        if (thread.IsRunnable)
        {
            return;
        }

        thread.IsRunnable = true;
        thread.HasJustWoken = true;
        thread.Time = Now + (Now - thread.Time > _costs.Tick ? _costs.WakeDelayIdle : _costs.WakeDelay);
        thread.Runtime = Math.Max(thread.Runtime, _taskRuntime - SleeperBonus);
    }

    /// <summary>Whether few enough of the pages that could go are being written that waiting would not help (<c>skip_throttle_noprogress()</c>).</summary>
    private bool IsMostlyIdle(Node node)
    {
        if (node.Counters.KswapdFailures >= PageReclaim.MaxFailures)
        {
            return true;
        }

        long reclaimable = 0;
        long pending = 0;
        foreach (Zone zone in node.Zones)
        {
            reclaimable += _machine.Reclaim.Vmscan.ReclaimablePages(zone);
            pending += zone.Counters.WritePending;
        }

        return 2 * pending <= reclaimable;
    }

    /// <summary>One CPU: decides whether kswapd takes the task's place.</summary>
    private void ShareCpu(Cpu cpu)
    {
        while (NextRunnable() is { } other)
        {
            if (_host is not null && other.HasJustWoken && other.Time > Now)
            {
                // On its way: what others ask for meanwhile it does as well.
                return;
            }

            bool preempts = other.HasJustWoken && _taskRuntime - other.Runtime > WakeupGranularity;
            other.HasJustWoken = false;
            long tick = Now / _costs.Tick;
            if (tick != _lastTick)
            {
                _lastTick = tick;
                preempts |= Now - _turnSince > Turn ? other.Runtime < _taskRuntime : _taskRuntime - other.Runtime > Turn;
            }

            if (!preempts)
            {
                return;
            }

            RunTurn(other, cpu);
        }
    }

    /// <summary>Lets kswapd have the CPU until the scheduler takes it away or it sleeps.</summary>
    private void RunTurn(Thread thread, Cpu cpu)
    {
        long since = Now;
        while (thread.IsRunnable)
        {
            Step(thread, cpu);
            Settle(cpu);
            long tick = Now / _costs.Tick;
            if (tick != _lastTick)
            {
                _lastTick = tick;
                if (Now - since > Turn ? _taskRuntime < thread.Runtime : thread.Runtime - _taskRuntime > Turn)
                {
                    break;
                }
            }
        }

        _turnSince = Now;
    }

    private Thread? NextRunnable()
    {
        Thread? best = null;
        foreach (Thread thread in _threads)
        {
            if (thread.IsRunnable && (best is null || thread.Time < best.Time))
            {
                best = thread;
            }
        }

        return best;
    }

    /// <summary>A step of kswapd, billed to it.</summary>
    private void Step(Thread thread, Cpu cpu)
    {
        Cpu lent = _oneCpu ? cpu : _ownCpu;
        KswapdPause pause;
        _isInBackground = true;
        _running = thread;
        thread.IsRunnable = false;
        try
        {
            using (new BackgroundScope(lent, thread.Kswapd.Task))
            {
                thread.Kswapd.IsPending = false;
                pause = thread.Kswapd.Step(lent);
            }
        }
        finally
        {
            _isInBackground = false;
            _running = null;
        }

        // Even a step that finds nothing takes time.
        long cost = Math.Max(Bill(), _costs.Scan);
        BackgroundNanoseconds += cost;
        if (_host is not null)
        {
            bool turn = _host.Runs(cost, Now + cost, _costs.Tick);
            if (turn)
            {
                ServeWrites(cpu);
            }

            Send(cpu);
        }

        thread.Runtime += cost;
        Now += _oneCpu ? cost : 0;
        thread.Time = _oneCpu ? Now : thread.Time + cost;
        thread.WokeEarly = false;
        thread.IsRunnable = pause == KswapdPause.None && thread.BlockedUntil == 0;
        thread.DozesUntil = pause == KswapdPause.Doze ? thread.Time + Kswapd.ShortSleepNanoseconds : 0;
    }

    /// <summary>What is due by now happens: writes end, timers run out, other threads run, kswapd catches up on its own CPU.</summary>
    private void Settle(Cpu cpu)
    {
        while (true)
        {
            EndWrites(cpu);
            RunOthers(cpu);
            foreach (Thread thread in _threads)
            {
                if (thread.BlockedUntil != 0 && (thread.BlockedUntil <= Now || _written > thread.BlockedUntilWritten))
                {
                    thread.BlockedUntil = 0;
                    MakeRunnable(thread);
                }

                if (thread.DozesUntil != 0 && thread.DozesUntil <= Now)
                {
                    thread.DozesUntil = 0;
                    MakeRunnable(thread);
                }
            }

            if (_oneCpu || NextRunnable() is not { } behind || behind.Time >= Now)
            {
                return;
            }

            Step(behind, cpu);
        }
    }

    private void RunOthers(Cpu cpu)
    {
        if (Now - _lastKcompactd >= KcompactdInterval)
        {
            _lastKcompactd = Now;
            _machine.Compaction.TickKcompactd();
        }

        if (!_machine.Background.Tasks.HasPending)
        {
            return;
        }

        _isInBackground = true;
        try
        {
            _ = _machine.Background.Tasks.RunPending(cpu);
        }
        finally
        {
            _isInBackground = false;
        }

        SpendAsWorker(cpu);
    }

    /// <summary>Ends the writes whose time has come.</summary>
    private void EndWrites(Cpu cpu)
    {
        if (_machine.Swap is not { WasUsed: true } swap)
        {
            return;
        }

        while (_writes.Count > swap.WritesUnderWay)
        {
            // Somebody waited for them.
            _ = _writes.Dequeue();
            _written++;
        }

        while (_writes.TryPeek(out long due) && (due <= Now || _host is { Ended: > 0 }))
        {
            _host?.End();
            _ = _writes.Dequeue();
            swap.CompleteWrite(cpu);
            _written++;
        }
    }

    private long NextEvent(long otherwise)
    {
        long next = _host is null && _writes.TryPeek(out long due) ? Math.Min(due, otherwise) : otherwise;
        foreach (Thread thread in _threads)
        {
            next = thread.BlockedUntil != 0 ? Math.Min(next, thread.BlockedUntil) : next;
            next = thread.DozesUntil != 0 ? Math.Min(next, thread.DozesUntil) : next;
        }

        return Math.Max(next, Now + 1);
    }

    /// <summary>What was done since the last bill; what was sent to a device meanwhile has its time set.</summary>
    private long Bill()
    {
        long counted = CountedWork();
        long cost = counted - _billed;
        _billed = counted;
        long sent = _events[VmEvent.SwapOut] - _swapOuts;
        _swapOuts += sent;
        if (sent != 0 && _machine.Swap is { WasUsed: true } swap)
        {
            long started = (_running is { } thread && !_oneCpu ? thread.Time : Now) + cost;
            for (long missing = swap.WritesUnderWay - _writes.Count; missing > 0; missing--)
            {
                _deviceFreeAt = Math.Max(_deviceFreeAt + _costs.WritePage, started + _costs.WriteDelay);
                _writes.Enqueue(_host is null ? _deviceFreeAt : long.MaxValue);
                _unsent++;
            }
        }

        return cost;
    }

    private long CountedWork() =>
        (_events[VmEvent.Fault] * _costs.Fault)
        + (_machine.Reclaim.Vmscan.EntriesScanned * _costs.Scan)
        + (_machine.Reclaim.Vmscan.Passes * _costs.Pass)
        + ((_events[VmEvent.StealKswapd] + _events[VmEvent.StealDirect]) * _costs.Steal)
        + (_events[VmEvent.SwapOut] * _costs.SwapOut)
        + (_events[VmEvent.SwapIn] * _costs.SwapIn)
        + (_events[VmEvent.MigrateSuccess] * _costs.Migrate);

    /// <summary>A kswapd, with what the scheduler knows of it.</summary>
    private sealed class Thread(Kswapd kswapd)
    {
        public readonly Kswapd Kswapd = kswapd;
        public bool IsRunnable;
        public bool HasJustWoken;
        public bool WokeEarly;

        /// <summary>How far it got on a CPU of its own.</summary>
        public long Time;

        /// <summary>The CPU time it had, moved up when it sleeps (<c>vruntime</c>).</summary>
        public long Runtime;
        public long BlockedUntil;
        public long BlockedUntilWritten;
        public long DozesUntil;
    }
}
