using MemSim.Kernels;
using MemSim.Observability;
using MemSim.Recordings.Replay;
using MemSim.Zones;

namespace MemSim.Recordings;

/// <summary>Replays a recorded stream of kmem events against a twin of the machine that recorded it, and predicts the frame of every allocation.</summary>
/// <remarks>
/// <para>The machine starts from the lists recorded before the trace (<c>before-mmlists</c>), or from the counts of free blocks where the lists were not recorded.
/// At each <c>mm_page_alloc</c> it allocates with the recorded flags and order, on the recorded CPU; a prediction is right when it returns the recorded frame.</para>
/// <para>Pages are taken without an event (bulk allocations do). A frame that the machine would hand out and whose next recorded event is a free
/// was taken just before: it is taken out and the machine asked again. Blocks in a per-CPU list that the recording refills are taken out too, because only empty
/// lists are refilled. After a wrong prediction the machine is corrected to what was recorded, so that one divergence does not become many.</para>
/// </remarks>
public sealed partial class TraceReplay : IDisposable
{
    private const int MostInferencesInARow = 1 << 16;
    private const int MostPassedOver = 64;

    /// <summary>The memory of a machine about which nothing is recorded.</summary>
    private const string MemoryOfUnknown = "2G";

    /// <summary>The most pages of a counter that a CPU may keep to itself: they are kept in a signed byte.</summary>
    private const int MostUnfolded = 125;

    private const string WakeupEvent = "mm_vmscan_wakeup_kswapd";

    private readonly TraceReplayFolder _folder;
    private readonly TraceReplayRecording _recording;
    private readonly KernelChoice _kernel;
    private readonly ReplayTally _tally = new();
    private readonly TraceReplayFrames? _frames;
    private readonly TraceReplaySink _sink = new();
    private readonly ReplayKswapdWakeups? _wakeups;
    private readonly Machine? _machine;
    private readonly Cpu[] _actors;
    private readonly SlabTraceReplay? _slab;
    private readonly bool _exact;
    private readonly Dictionary<string, long> _misses = new(StringComparer.Ordinal);
    private readonly HashSet<int> _reclaiming = [];
    private readonly KernelTask _memAlloc = new("reclaim", 1) { Flags = TaskFlags.MemAlloc };
    private readonly KernelTask _victim = new("victim", 1) { Flags = TaskFlags.OomVictim };
    private readonly long[] _boosts;
    private readonly int[] _thresholds;
    private readonly (long Allocations, long Predicted)[] _cpus;
    private readonly Stack<int> _passedOver = new();
    private long _inferred;
    private long _inferredFromRefills;
    private long _untracedNoticed;
    private long _foundAtFree;
    private long _failed;
    private long _explicitDrains;
    private long _freedPastLists;
    private long _givenBackUnseen;
    private long _tellStart;
    private long _tellStartRightly;
    private readonly List<int> _missedLines = [];
    private int _now;

    private TraceReplay(TraceReplayFolder folder, TraceReplayRecording recording, KernelChoice kernel, Machine? machine, SlabTraceReplay? slab, bool exact)
    {
        _kernel = kernel;
        _folder = folder;
        _recording = recording;
        _machine = machine;
        _slab = slab;
        _exact = exact;
        _actors = [.. machine?.Cpus ?? []];
        _cpus = new (long, long)[recording.CpuCount];
        _boosts = new long[machine?.Zones.Count ?? 0];
        _thresholds = [.. machine?.Zones.Select(z => z.Pcp[0].StatThreshold) ?? []];
        if (machine is not null)
        {
            _frames = new TraceReplayFrames(machine);
            machine.Tracing.Attach(_sink);
            _wakeups = new ReplayKswapdWakeups(machine);
        }
    }

    /// <summary>The machine as the replay left it; null where the recording does not tell where to start.</summary>
    public Machine? Machine => _machine;

    /// <summary>The machine that the slab events are replayed on; null where none are recorded.</summary>
    public Machine? SlabMachine => _slab?.Machine;

    /// <summary>The traces in a folder: <c>trace.txt.gz</c>, or the reports of trace-cmd and scripts of perf. Empty when there are none.</summary>
    /// <param name="directory">The folder.</param>
    public static IReadOnlyList<string> TracesIn(string directory) => TraceReplayFolder.TracesIn(directory);

    /// <summary>Reads a recording and restores the state recorded before it.</summary>
    /// <param name="path">A trace (ftrace, trace-cmd or perf text, plain or packed), or its folder.</param>
    /// <param name="like">A folder with the state before the trace (<c>before-mmlists</c>, or zoneinfo and buddyinfo); null for the trace's own.</param>
    /// <param name="progress">Told the events read, now and then.</param>
    /// <param name="kernel">Whose rules the machine shall follow; null for the kernel that made the recording, as far as its files name it.</param>
    /// <exception cref="InputFileException">A file is missing or malformed.</exception>
    public static TraceReplay Open(string path, string? like = null, IProgress<long>? progress = null, KernelChoice? kernel = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        TraceReplayFolder folder = TraceReplayFolder.Open(path, like);
        kernel ??= folder.Kernel();
        TraceReplayRecording recording = TraceReplayRecording.Read(folder.TracePath, kernel.Line, progress);
        AllocatorState? state = TraceReplayStart.Read(folder, recording, kernel.Line, out bool exact);
        Machine? machine = null;
        try
        {
            machine = state is null ? null : StateRestorer.Restore(state);
            return new TraceReplay(folder, recording, kernel, machine, OpenSlab(folder, recording, kernel.Line, state), exact);
        }
        catch (Exception e) when (e is FormatException or InputFileException)
        {
            machine?.Dispose();
            throw e as InputFileException ?? new InputFileException(folder.FindBefore("mmlists") ?? folder.FindBefore("buddyinfo") ?? folder.TracePath, 0, e.Message, e);
        }
    }

    /// <summary>Events of the page allocator that were replayed so far.</summary>
    public int Position { get; private set; }

    /// <summary>Events of the page allocator in the recording.</summary>
    public int Length => _machine is null ? 0 : _recording.Events.Length;

    /// <summary>The lines of allocations whose frame was not predicted, ascending; the first <see cref="MostMissedLines"/>.</summary>
    public IReadOnlyList<int> MissedLines => _missedLines;

    /// <summary>The most lines that <see cref="MissedLines"/> keeps.</summary>
    public const int MostMissedLines = 100_000;

    /// <summary>Events after which <see cref="Run"/> says how far it is.</summary>
    public int EventsBetweenReports { get; set; } = 4096;

    /// <summary>Replays the whole recording; once.</summary>
    /// <param name="progress">Told the line reached, now and then.</param>
    /// <returns>What was predicted and what not.</returns>
    public TraceReplayResult Run(IProgress<long>? progress = null)
    {
        while (Advance(EventsBetweenReports))
        {
            progress?.Report(_recording.Events[Position - 1].Line);
        }

        return Finish(progress);
    }

    /// <summary>Replays some events more: for who has other things to do in between.</summary>
    /// <param name="events">How many at most.</param>
    /// <returns>Whether there are more; <see cref="Finish"/> comes when there are none.</returns>
    public bool Advance(int events)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(events);
        ReadOnlySpan<TraceStepEvent> all = _recording.Events;
        int end = (int)Math.Min(Length, (long)Position + events);
        for (; Position < end; Position++)
        {
            if (all[Position].BeginsRefill)
            {
                GiveBackBeforeRefill(all[Position]);
            }

            _recording.Pass(Position);
            _now = Position;
            Apply(all[Position]);
        }

        return Position < Length;
    }

    /// <summary>Replays the events of slabs and compares the end with what was recorded; once, after all of <see cref="Advance"/>.</summary>
    /// <param name="progress">Told the line reached, where only slab events are replayed.</param>
    /// <exception cref="InvalidOperationException">Events are left to replay.</exception>
    public TraceReplayResult Finish(IProgress<long>? progress = null)
    {
        if (Position < Length)
        {
            throw new InvalidOperationException($"{Length - Position} events are left to replay: Advance comes first");
        }

        if (_machine is not null)
        {
            _machine.Tracing.Detach(_sink);
            _machine.Tracing.Detach(_wakeups!);
            _machine.Reclaim.Policy = NoReclaim.Instance;
        }

        // Lines begin again: shown only where there was nothing else to show.
        _slab?.Run(_machine is null ? progress : null);
        CompareCounts();
        CompareEnd();
        return ToResult();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _machine?.Dispose();
        _slab?.Dispose();
    }

    /// <summary>A second machine for the slab events: in the same state, or where none is known an empty one of the same architecture.</summary>
    private static SlabTraceReplay? OpenSlab(TraceReplayFolder folder, TraceReplayRecording recording, KernelPersonality kernel, AllocatorState? state)
    {
        if (recording.Slab.Events.Length == 0)
        {
            return null;
        }

        const string noMerge = "slab_nomerge";
        Machine machine = state is not null ? StateRestorer.Restore(state, slab: KernelCommandLine.Parse(noMerge))
            : Machine.Boot((recording.Slab.HasShortAddresses ? MachineSpec.X86_32(MemoryOfUnknown, recording.CpuCount) : MachineSpec.X86_64(MemoryOfUnknown, recording.CpuCount)).WithPersonality(kernel).WithCommandLine(noMerge).WithoutContents());
        try
        {
            return new SlabTraceReplay(recording.Slab, folder, machine);
        }
        catch
        {
            machine.Dispose();
            throw;
        }
    }

    private void Apply(in TraceStepEvent e)
    {
        switch (e.Step)
        {
            case TraceStep.Allocate:
                Allocate(e);
                break;
            case TraceStep.AllocationFailed:
                _failed++;
                break;
            case TraceStep.Free or TraceStep.FreePrepared or TraceStep.FreePastLists:
                Free(e, e.Pfn, e.Order);
                break;
            case TraceStep.FreeWhole:
                Free(e, e.Pfn & -(1 << TraceReplayOrder.StackOrder), TraceReplayOrder.StackOrder);
                break;
            case TraceStep.FreeListed:
                FreeListed(e);
                break;
            case TraceStep.Drain:
                Drained(e);
                break;
            case TraceStep.UntracedRefill:
                RefilledUntraced(e);
                break;
            case TraceStep.KswapdWakes:
                BeginKswapdRound(_actors[e.Cpu].Node);
                break;
            case TraceStep.WakesKswapd:
                SetThresholds(_actors[e.Cpu].Node, pressure: true);
                break;
            case TraceStep.KswapdSleeps:
                SetThresholds(_actors[e.Cpu].Node, pressure: false);
                break;
            case TraceStep.StatUpdate:
                UpdateStats(e, Position);
                break;
            case TraceStep.ReclaimBegins:
                _reclaiming.Add(e.Pid);
                break;
            case TraceStep.ReclaimEnds:
                _reclaiming.Remove(e.Pid);
                break;
            default:
                break;
        }

        if (e.EndsKswapdRound)
        {
            EndKswapdRound(_actors[e.Cpu].Node);
        }
    }

    private void Free(in TraceStepEvent e, int pfn, int order)
    {
        if (_frames!.ZoneOf(pfn, order) is null)
        {
            return;
        }

        Cpu cpu = _actors[e.Cpu];
        if (_frames.Find(pfn, out int head, out int size) != FramePlace.Allocated || head != pfn || size != order)
        {
            _foundAtFree += _frames.Claim(cpu, pfn, order) ? 1 : 0;
        }

        switch (e.Step)
        {
            case TraceStep.FreePrepared:
                _machine!.Pages.PrepareListed(cpu, pfn);
                break;
            case TraceStep.FreePastLists:
                _freedPastLists++;
                _sink.MmPageFree(cpu, pfn, order);
                _frames.FreePastLists(cpu, pfn, order);
                break;
            default:
                _arrived[pfn] = _now;
                KeepLimitTo(e, pfn, order);
                _machine!.Pages.FreeBlock(cpu, pfn, order);
                break;
        }
    }

    private void FreeListed(in TraceStepEvent e)
    {
        // Without its first half, lost at the start of the recording, it is a free like any other.
        if (_frames!.ZoneOf(e.Pfn, 0) is null)
        {
            return;
        }

        Cpu cpu = _actors[e.Cpu];
        if (_frames.Find(e.Pfn, out int head, out int order) != FramePlace.Allocated || head != e.Pfn || order != 0)
        {
            return;
        }

        _arrived[e.Pfn] = _now;
        KeepLimitTo(e, e.Pfn, 0);
        _machine!.Pages.FreePrepared(cpu, e.Pfn);
    }

    private void Drained(in TraceStepEvent e)
    {
        if (_sink.ForgetDrain(e.Pfn))
        {
            return;
        }

        if (_frames!.ZoneOf(e.Pfn, e.Order) is not null && _frames.Find(e.Pfn, out int head, out int order) == FramePlace.PcpList && head == e.Pfn && order == e.Order)
        {
            // No rule of the lists explains it: somebody had the lists drained, perhaps those of another CPU.
            _explicitDrains++;
            _frames.Drain(_actors[e.Cpu], head, order);
        }
    }

    /// <summary>While kswapd reclaims, per-CPU lists are kept short; what the watermarks were boosted by until now is its task.</summary>
    private void BeginKswapdRound(Node node)
    {
        foreach (Zone zone in node.Zones)
        {
            zone.Flags |= ZoneFlags.ReclaimActive;
            _boosts[zone.Id] = zone.Boost;
        }
    }

    private void EndKswapdRound(Node node)
    {
        foreach (Zone zone in node.Zones)
        {
            zone.Flags &= ~ZoneFlags.ReclaimActive;
            zone.Boost -= Math.Min(zone.Boost, _boosts[zone.Id]);
            _boosts[zone.Id] = 0;
        }
    }

    /// <summary>
    /// While kswapd is awake each CPU may keep more of the free counter to itself: as much as all CPUs together cannot hide the distance between the min and
    /// the low watermark with.
    /// </summary>
    /// <remarks>
    /// Only in zones with a drift mark. 6.1 sets it where the ordinary threshold could hide that distance, which it always could when a second CPU came online
    /// before the watermarks were computed; it never takes the mark away again.
    /// </remarks>
    private void SetThresholds(Node node, bool pressure)
    {
        int cpus = _machine!.Cpus.Count;
        foreach (Zone zone in node.Zones)
        {
            if (cpus == 1 && _thresholds[zone.Id] <= zone.MarkLow - zone.MarkMin)
            {
                continue;
            }

            int threshold = pressure
                ? (int)Math.Clamp((zone.MarkLow - zone.MarkMin) / cpus, 1, MostUnfolded)
                : _thresholds[zone.Id];
            foreach (PerCpuPages pcp in zone.IsPopulated ? zone.Pcp : [])
            {
                pcp.SetStatThreshold(threshold);
                zone.AddFreePages(pcp, 0);
                zone.AddFreeBlocks(pcp, 0);
            }
        }
    }

    private void CompareCounts()
    {
        if (_recording.EntriesInBuffer >= 0)
        {
            _tally.Compare("event count", _recording.EventCount == _recording.EntriesInBuffer, () => $"the header announces {_recording.EntriesInBuffer} events, {_recording.EventCount} were read");
            _tally.Compare("event count", _recording.EntriesWritten == _recording.EntriesInBuffer && _recording.LostEvents == 0, () => $"{_recording.EntriesWritten} events were recorded, {_recording.EntriesInBuffer} are in the file");
        }

        foreach ((string name, long count) in _folder.IndexedCounts())
        {
            long actual = _recording.Counts.GetValueOrDefault(name);
            _tally.Compare("event count", count == actual, () => $"{name}: {count} in the index, {actual} read");
        }

        if (_machine is not null)
        {
            foreach (TraceEventCount count in Events())
            {
                if (count.Replayed is not null)
                {
                    _tally.Compare("emitted events", count.Recorded == count.Replayed, () => $"{count.Name}: {count.Recorded} recorded, {count.Replayed} here");
                }
            }
        }
    }

    private void CompareEnd()
    {
        if (_machine is null)
        {
            return;
        }

        if (_folder.Find("after-buddyinfo") is { } buddyInfo)
        {
            foreach (BuddyInfoRow row in BuddyInfoFile.Parse(buddyInfo))
            {
                Zone? zone = _machine.Zones.FirstOrDefault(z => z.Node.Id == row.Node && z.Name == row.Zone);
                for (int order = 0; order < PageGeometry.OrderCount; order++)
                {
                    int o = order;
                    long actual = zone?.FreeBlocks(order) ?? 0;
                    _tally.Compare("buddyinfo", row.BlocksOf(order) == actual, () => $"after, node {row.Node} zone {row.Zone} order {o}: {row.BlocksOf(o)} free blocks recorded, {actual} here");
                }
            }
        }

        if (_exact && _folder.Find("after-mmlists") is { } lists)
        {
            StateComparison.Compare(MmListsReader.Read(lists), StateCapture.Capture(_machine, "after"), "after", _tally, includeFigures: false);
        }
    }

    private List<TraceEventCount> Events()
    {
        List<TraceEventCount> events = [];
        foreach ((string name, long count) in _recording.Counts)
        {
            long? replayed = _machine is null ? null : name switch
            {
                "mm_page_alloc_zone_locked" => _sink.ZoneLocked,
                "mm_page_pcpu_drain" => _sink.PcpuDrain,
                "mm_page_alloc_extfrag" => _sink.Extfrag,
                _ => null,
            };
            events.Add(new TraceEventCount(name, count, replayed));
        }

        return events;
    }

    private TraceReplayResult ToResult() => new()
    {
        Name = _folder.Name,
        NotPredictable = _machine is null ? "no state before the recording is known: neither before-mmlists nor zoneinfo and buddyinfo"
            : _exact ? null : "the lists before the recording were not read: what they held, and in which order, was put together from counts, page flags and what the events tell",
        Allocations = _machine is null ? _recording.Statistics.Pages().AllocatedBlocks : _cpus.Sum(c => c.Allocations),
        Predicted = _cpus.Sum(c => c.Predicted),
        Displaced = _displaced,
        FreedPastLists = _freedPastLists,
        GivenBackUnseen = _givenBackUnseen,
        TellingStart = _tellStart,
        PredictedUntold = _cpus.Sum(c => c.Predicted) - _tellStartRightly,
        Kernel = _kernel,
        UnknownFlags = [.. _recording.UnknownFlags],
        Cpus = [.. _cpus.Select((c, i) => new TraceReplayCpu(i, c.Allocations, c.Predicted))],
        Misses = [.. _misses.Select(m => new TraceReplayMiss(m.Key, m.Value)).OrderByDescending(m => m.Count).ThenBy(m => m.Reason, StringComparer.Ordinal)],
        UntracedPagesInferred = _inferred,
        UntracedPagesInferredFromRefills = _inferredFromRefills,
        UntracedPagesNoticed = _untracedNoticed,
        UntracedPagesFoundAtFree = _foundAtFree,
        FailedAllocations = _failed,
        ExplicitDrains = _explicitDrains,
        StatDrains = _statDrains,
        StatDrainsAsRecorded = _statDrainsAsRecorded,
        LimitsCorrected = _limitsCorrected,
        EventCount = _recording.EventCount,
        LostEvents = _recording.LostEvents,
        EventsWithoutCpu = _recording.EventsWithoutCpu,
        Events = Events(),
        KswapdWakeups = new TraceKswapdWakeups(
            _recording.Counts.Where(c => c.Key == WakeupEvent || c.Key.EndsWith(":" + WakeupEvent, StringComparison.Ordinal)).Sum(c => c.Value), _wakeups?.Woken),
        Comparison = _tally.ToResult(_folder.Name),
        Pages = _recording.Statistics.Pages(),
        Slab = _recording.Statistics.Slab(),
        SlabReplay = _slab?.ToResult(),
    };
}
