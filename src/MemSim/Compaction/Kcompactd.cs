using MemSim.Background;
using MemSim.Statistics;

namespace MemSim.Compaction;

/// <summary>The kernel thread that compacts a node in the background: for kswapd, which wants a block of an order, and by itself where memory is fragmented.</summary>
internal sealed class Kcompactd : BackgroundTask
{
    private readonly Machine _machine;
    private readonly Compactor _compactor;
    private readonly int _zoneCount;
    private int _maxOrder;
    private int _highestZoneIndex;
    private int _ticksToSkip;

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

    /// <summary>The order asked for that was not worked on yet; 0 for none.</summary>
    public int PendingOrder => _maxOrder;

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
            _machine.CompactionTrace?.MmCompactionWakeupKcompactd(cpu, Node!.Id, order, highestZoneIndex);
            _machine.Background.Wake(cpu, this);
        }
    }

    /// <summary>Whether another half second could make a difference: something was asked for, it waits out a failure, or the node is fragmented.</summary>
    public bool HasReasonToLook =>
        _maxOrder > 0 || _ticksToSkip > 0 || (_machine.Settings.Sysctls.CompactionProactiveness != 0 && Suitability.Score(Node!) > Suitability.ScoreMarks(_machine).High);

    /// <summary>Half a second has passed: does what was asked for and not yet done, or looks whether the node became fragmented by itself.</summary>
    public void Tick(Cpu cpu)
    {
        if (_maxOrder > 0)
        {
            _machine.Background.Wake(cpu, this);
            return;
        }

        using (cpu.EnterBackground(Task))
        {
            _machine.CompactionTrace?.MmCompactionKcompactdSleep(cpu, Node!.Id);
            if (_ticksToSkip > 0)
            {
                _ticksToSkip--;
                return;
            }

            (_, int high) = Suitability.ScoreMarks(_machine);
            int before = Suitability.Score(Node!);
            if (_machine.Settings.Sysctls.CompactionProactiveness == 0 || before <= high || IsKswapdRunning())
            {
                return;
            }

            _compactor.CompactProactively(cpu, Node!);

            // In vain: not again for 32 seconds.
            _ticksToSkip = Suitability.Score(Node!) < before ? 0 : (1 << Compactor.MaxDeferShift) - 1;
        }
    }

    public override void Run(Cpu cpu)
    {
        int order = _maxOrder;
        int highest = _highestZoneIndex;
        _machine.CompactionTrace?.MmCompactionKcompactdWake(cpu, Node!.Id, order, highest);
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

        _machine.CompactionTrace?.MmCompactionKcompactdSleep(cpu, Node!.Id);
    }

    private void CompactZone(Cpu cpu, Zone zone, int order)
    {
        if (_compactor.IsDeferred(cpu, zone, order) || Suitability.Of(cpu, zone, order, default, zone.Index) != CompactionStatus.Continue)
        {
            return;
        }

        CompactControl cc = new(zone, order) { Mode = MigrationMode.SyncLight, HighestZoneIndex = zone.Index };
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
