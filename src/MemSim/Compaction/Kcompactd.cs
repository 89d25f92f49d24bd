using System.Diagnostics;
using MemSim.Background;
using MemSim.Statistics;

namespace MemSim.Compaction;

/// <summary>The kernel thread that compacts a node in the background: for kswapd, which wants a block of an order, and by itself where memory is fragmented.</summary>
internal sealed class Kcompactd : BackgroundTask
{
    /// <summary>Rounds over a whole node that moved nothing, after which the next ones would not either.</summary>
    private const int MostIdleRounds = 8;

    private readonly Machine _machine;
    private readonly Compactor _compactor;
    private readonly int _zoneCount;
    private int _maxOrder;
    private int _highestZoneIndex;
    private int _ticksToSkip;
    private int _idleRounds;

    public Kcompactd(Machine machine, Compactor compactor, Node node)
        : base($"kcompactd{node.Id}", Pid(machine, node), node)
    {
        _machine = machine;
        _compactor = compactor;
        for (int i = 0; i < node.Zones.Count; i++)
        {
            _zoneCount = node.Zones[i].IsPopulated ? i + 1 : _zoneCount;
        }

        _highestZoneIndex = _zoneCount - 1;
    }

    /// <summary>Asks for a block; wakes the thread where compaction could make one.</summary>
    public void Wake(Cpu cpu, int order, int highestZoneIndex)
    {
        if (order <= 0)
        {
            return;
        }

        _maxOrder = Math.Max(_maxOrder, order);
        _highestZoneIndex = Math.Min(_highestZoneIndex, highestZoneIndex);
        if (!IsPending && IsSuitable(cpu))
        {
            _machine.Migration.Trace?.MmCompactionWakeupKcompactd(cpu, Node!.Id, order, highestZoneIndex);
            _machine.Background.Tasks.Wake(cpu, this);
        }
    }

    /// <summary>Whether another half second could make a difference: something was asked for, it waits out a failure, or the node is fragmented.</summary>
    public bool HasReasonToLook =>
        _maxOrder > 0 || _ticksToSkip > 0 || (_machine.Settings.Sysctls.CompactionProactiveness != 0 && Suitability.Score(Node!) > Suitability.ScoreMarks(_machine).High);

    /// <summary>Half a second has passed: does what was asked for and not yet done, or looks whether the node became fragmented by itself.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="left">How many half seconds are to pass in which nobody does anything else.</param>
    /// <returns>How many of them this call was for: those in which nothing would happen are passed over.</returns>
    public long Tick(Cpu cpu, long left)
    {
        if (_maxOrder > 0)
        {
            _machine.Background.Tasks.Wake(cpu, this);

            // Where background work waits until it is asked for, waking it again changes nothing.
            return IsPending ? left : 1;
        }

        using (new BackgroundScope(cpu, Task))
        {
            if (_ticksToSkip > 0)
            {
                int skipped = (int)Math.Min(_ticksToSkip, left);
                for (int i = 0; i < skipped && _machine.Migration.Trace is { } trace; i++)
                {
                    trace.MmCompactionKcompactdSleep(cpu, Node!.Id);
                }

                _ticksToSkip -= skipped;
                Debug.Assert(skipped > 0 && _ticksToSkip >= 0, "time passes that was to be waited");
                return skipped;
            }

            _machine.Migration.Trace?.MmCompactionKcompactdSleep(cpu, Node!.Id);

            (_, int high) = Suitability.ScoreMarks(_machine);
            int before = Suitability.Score(Node!);
            if (_machine.Settings.Sysctls.CompactionProactiveness == 0 || before <= high || IsKswapdRunning())
            {
                return 1;
            }

            long moved = _machine.Events[VmEvent.MigrateSuccess];
            _compactor.CompactProactively(cpu, Node!);

            // In vain: not again for 32 seconds.
            bool inVain = Suitability.Score(Node!) >= before;
            _ticksToSkip = inVain ? (1 << Compactor.MaxDeferShift) - 1 : 0;

            // Several times in a row and nothing was moved at all: so it stays while nobody does anything else.
            _idleRounds = inVain && _machine.Events[VmEvent.MigrateSuccess] == moved ? _idleRounds + 1 : 0;
            return _idleRounds > MostIdleRounds ? left : 1;
        }
    }

    public override void Run(Cpu cpu)
    {
        int order = _maxOrder;
        int highest = _highestZoneIndex;
        Debug.Assert(order >= 0 && highest < _zoneCount, "zones of the node");
        _machine.Migration.Trace?.MmCompactionKcompactdWake(cpu, Node!.Id, order, highest);
        _machine.Events.Count(VmEvent.CompactDaemonWake);
        for (int i = 0; i <= highest; i++)
        {
            Zone zone = Node!.Zones[i];
            if (zone.IsPopulated)
            {
                CompactZone(cpu, zone, order);
            }
        }

        // Somebody may have asked for more meanwhile.
        if (_maxOrder <= order)
        {
            _maxOrder = 0;
        }

        if (_highestZoneIndex >= highest)
        {
            _highestZoneIndex = _zoneCount - 1;
        }

        _machine.Migration.Trace?.MmCompactionKcompactdSleep(cpu, Node!.Id);
    }

    private void CompactZone(Cpu cpu, Zone zone, int order)
    {
        if (_compactor.IsDeferred(cpu, zone, order) || Suitability.Of(cpu, zone, order, default, zone.Index) != CompactionStatus.Continue)
        {
            return;
        }

        CompactControl cc = new(zone, _machine.Compaction.Compactor.ScannersOf(zone), order) { Mode = MigrationMode.SyncLight, HighestZoneIndex = zone.Index };
        CompactionStatus status = _compactor.CompactZone(cpu, cc);
        if (status == CompactionStatus.Success)
        {
            _compactor.ResetDeferral(cpu, zone, order, allocated: false);
        }
        else if (status is CompactionStatus.PartialSkipped or CompactionStatus.Complete)
        {
            // Pages in the CPUs' lists may be what keeps blocks from merging.
            foreach (Cpu other in _machine.Cpus)
            {
                _machine.Pages.DrainAll(other, zone.Pcp[other.Id]);
            }

            _compactor.Defer(cpu, zone, order);
        }

        _compactor.CountDaemon(cc);
    }

    private bool IsSuitable(Cpu cpu)
    {
        for (int i = 0; i <= _highestZoneIndex; i++)
        {
            Zone zone = Node!.Zones[i];
            if (zone.IsPopulated && Suitability.Of(cpu, zone, _maxOrder, default, _highestZoneIndex) == CompactionStatus.Continue)
            {
                return true;
            }
        }

        return false;
    }

    private bool IsKswapdRunning()
    {
        foreach (Zone zone in Node!.Zones)
        {
            if ((zone.Flags & ZoneFlags.ReclaimActive) != 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The number the thread has on a freshly booted Debian: each CPU beyond the first has six threads started before it.</summary>
    private static int Pid(Machine machine, Node node) => 28 + (6 * (machine.Cpus.Count - 1)) + node.Id;
}
