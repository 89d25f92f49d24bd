using System.Runtime.InteropServices;
using MemSim.Kernels;

namespace MemSim.Recordings.Replay;

/// <summary>A recording read into memory, with what comes next for every frame.</summary>
internal sealed class TraceReplayRecording
{
    private const int None = -1;

    /// <summary>The events from which on a list that is full grows by a quarter instead of doubling.</summary>
    private const int ManyEvents = 1 << 20;

    private readonly List<TraceStepEvent> _events = [];
    private readonly TraceEventCounts _counts = new();
    private readonly FrameMap<int> _upcoming = new(None);
    private readonly KernelPersonality _kernel;
    private readonly List<(TraceContext Context, byte Depth, int Pid, long TimeNs, bool IsFree)> _last = [];
    private readonly TraceStatUpdates? _statUpdates;
    private readonly List<(int Pfn, byte Type)> _fallbacks = [];
    private TraceStartEvents? _start;
    private int[] _next = [];

    private TraceReplayRecording(string path, KernelPersonality kernel)
    {
        Path = path;
        _kernel = kernel;
        _statUpdates = TraceStatUpdates.CanBeFollowed(kernel) ? new TraceStatUpdates() : null;
    }

    public string Path { get; }

    /// <summary>The events that mean something to the allocator, in order.</summary>
    public ReadOnlySpan<TraceStepEvent> Events => CollectionsMarshal.AsSpan(_events);

    /// <summary>Events of every kind by the kernel's name.</summary>
    public IReadOnlyDictionary<string, long> Counts => _counts.ByName;

    /// <summary>Events of all kinds.</summary>
    public long EventCount { get; private set; }

    /// <summary>What the header says the file holds; -1 where there is none.</summary>
    public long EntriesInBuffer { get; private set; }

    /// <summary>What the header says was recorded, lost events included; -1 where there is none.</summary>
    public long EntriesWritten { get; private set; }

    /// <summary>Events that notes in the file say were lost.</summary>
    public long LostEvents { get; private set; }

    /// <summary>Events whose lines name no CPU.</summary>
    public long EventsWithoutCpu { get; private set; }

    /// <summary>One more than the highest CPU number.</summary>
    public int CpuCount { get; private set; } = 1;

    /// <summary>What tools like <c>perf kmem</c> say about the recording.</summary>
    public TraceStatisticsCollector Statistics { get; } = new();

    /// <summary>The slab events.</summary>
    public SlabTraceRecording Slab { get; } = new();

    /// <summary>Which events may stand in another order than what they tell of.</summary>
    public TraceDisplacement Displacement { get; private set; } = null!;

    /// <summary>Names of flags that are not known.</summary>
    public IReadOnlyCollection<string> UnknownFlags { get; private set; } = [];

    public static TraceReplayRecording Read(string path, KernelPersonality kernel, IProgress<long>? progress)
    {
        TraceReplayRecording recording = new(path, kernel);
        using TraceReader reader = new(path);
        while (reader.TryRead(out TraceEvent e))
        {
            if (reader.EventCount == 1)
            {
                recording.MakeRoom(reader.EntriesInBuffer, path);
            }

            recording.Add(e, path);
            if (progress is not null && (reader.EventCount & 0xffff) == 0)
            {
                progress.Report(reader.EventCount);
            }
        }

        recording.EventCount = reader.EventCount;
        recording.EntriesInBuffer = reader.EntriesInBuffer;
        recording.EntriesWritten = reader.EntriesWritten;
        recording.LostEvents = reader.LostEvents;
        recording.EventsWithoutCpu = reader.EventsWithoutCpu;
        recording.UnknownFlags = reader.UnknownFlags;
        recording.Link();
        recording.Slab.Link();
        return recording;
    }

    /// <summary>The next allocation or free of a frame at or after the position of the last <see cref="Pass"/>.</summary>
    /// <returns>Its index, or -1.</returns>
    public int Upcoming(int pfn)
    {
        int next = _upcoming[pfn];
        while (next != None && !IsUse(_events[next].Step))
        {
            next = _next[next];
        }

        return next;
    }

    /// <summary>Whether the next thing the recording says about a frame is that it is freed.</summary>
    public bool IsFreedNext(int pfn) => Upcoming(pfn) is int next and >= 0 && IsFree(_events[next].Step);

    /// <summary>Whether the next thing the recording says about a frame is that it is allocated, so that it must be free now.</summary>
    public bool IsAllocatedNext(int pfn) => Upcoming(pfn) is int next and >= 0 && _events[next].Step == TraceStep.Allocate;

    /// <summary>Whether the next thing the recording says about a frame is that it leaves the free lists, so that it must be in them now.</summary>
    public bool IsInFreeListsNow(int pfn) =>
        _upcoming[pfn] is int next and >= 0 && _events[next].Step is TraceStep.Refill or TraceStep.UntracedRefill or TraceStep.TakenDirectly;

    /// <summary>Begins to put the start state together from the events, because the lists were not read.</summary>
    /// <param name="pageblockOrder">log2 of the pages in a page block.</param>
    public TraceStartEvents BeginStart(int pageblockOrder) => _start = new TraceStartEvents(Events, _fallbacks, pageblockOrder);

    /// <summary>Whether an allocation only shows what the start state was made from.</summary>
    /// <param name="index">The event's index.</param>
    public bool TellsStart(int index) => _start?.Tells(index) == true;

    /// <summary>Goes past an event.</summary>
    public void Pass(int index)
    {
        if (IsChained(_events[index].Step))
        {
            _upcoming[_events[index].Pfn] = _next[index];
        }
    }

    public static bool IsFree(TraceStep step) => step is TraceStep.Free or TraceStep.FreePrepared or TraceStep.FreePastLists or TraceStep.FreePart or TraceStep.FreeWhole;

    private static bool IsUse(TraceStep step) => step == TraceStep.Allocate || IsFree(step);

    private static bool IsChained(TraceStep step) => IsUse(step) || step is TraceStep.Refill or TraceStep.UntracedRefill or TraceStep.TakenDirectly or TraceStep.Drain;

    /// <summary>Makes room for the events that a header announces, so that they are not copied while they become more; no more than the file can hold.</summary>
    private void MakeRoom(long announced, string path)
    {
        const int LeastPackedBytes = 4;
        long most = File.Exists(path) ? new FileInfo(path).Length / LeastPackedBytes : 0;
        _events.Capacity = (int)Math.Clamp(Math.Min(announced, most), _events.Capacity, int.MaxValue / 64);
    }

    private void Add(in TraceEvent e, string path)
    {
        _counts.Add(e);
        Statistics.Add(e);
        Slab.Add(e, path);
        if (e.Kind == TraceEventKind.PageAllocExtfrag && e.Pfn is >= 0 and <= int.MaxValue && e.FallbackMigrateType is >= 0 and < (int)MigrateType.Isolate)
        {
            _fallbacks.Add(((int)e.Pfn, (byte)e.FallbackMigrateType));
        }

        TraceStep? step = e.Kind switch
        {
            TraceEventKind.PageAlloc => e.Failed ? TraceStep.AllocationFailed : TraceStep.Allocate,
            TraceEventKind.PageFree => TraceStep.Free,
            TraceEventKind.PageFreeBatched => TraceStep.FreeListed,
            TraceEventKind.PageAllocZoneLocked => e.Failed ? null : e.PercpuRefill ? TraceStep.Refill : TraceStep.TakenDirectly,
            TraceEventKind.PagePcpuDrain => TraceStep.Drain,
            TraceEventKind.Other => StepOf(e.EventName),
            _ => null,
        };
        CpuCount = Math.Max(CpuCount, e.Cpu + 1);
        if (step is not { } known)
        {
            return;
        }

        if (e.Pfn > int.MaxValue || e.Order > PageGeometry.MaxOrder || (e.Order > 0 && e.Pfn >= 0 && (e.Pfn & ((1L << e.Order) - 1)) != 0))
        {
            throw new InputFileException(path, e.Line, $"a block of order {e.Order} cannot start at frame 0x{e.Pfn:x}");
        }

        bool interrupt = (e.Context & (TraceContext.HardInterrupt | TraceContext.SoftInterrupt | TraceContext.NonMaskableInterrupt)) != 0;
        bool kswapd = e.TaskName.StartsWith("kswapd", StringComparison.Ordinal);
        if (_events.Count == _events.Capacity && _events.Count >= ManyEvents)
        {
            _events.Capacity += _events.Count / 4;
        }

        _events.Add(new TraceStepEvent(known, (byte)Math.Max(e.Order, 0), (byte)Math.Max(e.MigrateType, 0), (ushort)e.Cpu, interrupt, (int)e.Pfn, e.Gfp, e.Line, e.Pid, kswapd)
        {
            PreemptDepth = e.PreemptDepth,
            BeginsBurst = BeginsBurst(e, interrupt && known == TraceStep.Free),
        });
        _statUpdates?.Note(e);
    }

    /// <summary>Whether a free begins a run of frees by the same interrupt: with the same flags, one soon after the other.</summary>
    private bool BeginsBurst(in TraceEvent e, bool interruptFrees)
    {
        const long LongestPauseNs = 1_000_000;
        while (_last.Count <= e.Cpu)
        {
            _last.Add(default);
        }

        ref var last = ref CollectionsMarshal.AsSpan(_last)[e.Cpu];
        TraceContext context = e.Context & ~TraceContext.NeedReschedule;
        bool begins = interruptFrees && !(last.IsFree && last.Context == context && last.Depth == e.PreemptDepth && last.Pid == e.Pid && e.TimestampNs - last.TimeNs <= LongestPauseNs);
        last = (context, e.PreemptDepth, e.Pid, e.TimestampNs, interruptFrees);
        return begins;
    }

    private static TraceStep? StepOf(string name) => name switch
    {
        "mm_vmscan_wakeup_kswapd" => TraceStep.WakesKswapd,
        "mm_vmscan_kswapd_wake" => TraceStep.KswapdWakes,
        "mm_vmscan_kswapd_sleep" => TraceStep.KswapdSleeps,
        "mm_vmscan_direct_reclaim_begin" => TraceStep.ReclaimBegins,
        "mm_vmscan_direct_reclaim_end" => TraceStep.ReclaimEnds,
        _ => null,
    };

    /// <summary>Finds what each event means together with others: lists being freed, the true order between CPUs, the end of kswapd's rounds, the next event of each frame.</summary>
    private void Link()
    {
        _statUpdates?.InsertInto(_events, CpuCount);
        MarkPrepared();
        TraceReplayOrder.Mark(CollectionsMarshal.AsSpan(_events), _kernel);
        MarkRefills();
        Resequence();
        MarkEndsOfRounds();
        LinkFrames();
        Displacement = new TraceDisplacement(Events, _kernel.Traces.PreemptsLazily);
    }

    /// <summary>From the back: frees that are the first half of a list's have the second half behind them.</summary>
    private void MarkPrepared()
    {
        FrameMap<bool> listed = new(false);
        Span<TraceStepEvent> events = CollectionsMarshal.AsSpan(_events);
        for (int i = events.Length - 1; i >= 0; i--)
        {
            ref TraceStepEvent e = ref events[i];
            switch (e.Step)
            {
                case TraceStep.FreeListed:
                    listed[e.Pfn] = true;
                    break;
                case TraceStep.Free when listed[e.Pfn]:
                    listed[e.Pfn] = false;
                    e = e.Order == 0 ? e with { Step = TraceStep.FreePrepared } : e;
                    break;
                case TraceStep.Allocate when listed[e.Pfn]:
                    listed[e.Pfn] = false;
                    break;
                default:
                    break;
            }
        }
    }

    /// <summary>Finds which allocation asked for each refill: it gets the first block of it.</summary>
    private void MarkRefills()
    {
        int[] first = new int[CpuCount];
        Array.Fill(first, None);
        Span<TraceStepEvent> events = CollectionsMarshal.AsSpan(_events);
        for (int i = 0; i <= events.Length; i++)
        {
            // After the last event every refill still waiting has nobody.
            if (i == events.Length)
            {
                foreach (int left in first)
                {
                    MarkUntraced(events, left);
                }

                break;
            }

            // An allocation that boosted the watermark wakes kswapd between its refill and its own event.
            ref TraceStepEvent e = ref events[i];
            if (e.Step is TraceStep.WakesKswapd or TraceStep.StatUpdate)
            {
                continue;
            }

            ref int start = ref first[e.Cpu];
            if (e.Step == TraceStep.Refill && start != None && events[start].Order == e.Order && events[start].MigrateType == e.MigrateType)
            {
                continue;
            }

            if (e.Step == TraceStep.Allocate && start != None && events[start].Pfn == e.Pfn)
            {
                e = e with { Refilled = true };
            }
            else
            {
                MarkUntraced(events, start);
            }

            start = None;
            if (e.Step == TraceStep.Refill)
            {
                start = i;
                e = e with { BeginsRefill = true };
            }
        }
    }

    private static void MarkUntraced(Span<TraceStepEvent> events, int start)
    {
        if (start != None)
        {
            events[start] = events[start] with { Step = TraceStep.UntracedRefill };
        }
    }

    /// <summary>
    /// Moves each event to where it touched the zone. Refills and drains are recorded under the zone's lock, so they are in order between CPUs; the allocation
    /// that refilled is recorded after its refill, the free that drained before its drain, and another CPU may have come in between.
    /// </summary>
    private void Resequence()
    {
        if (CpuCount == 1)
        {
            return;
        }

        // A refill moves to its first block with the allocation behind it, a free before the drain it caused.
        const int PlaceBits = 20;
        Span<TraceStepEvent> events = CollectionsMarshal.AsSpan(_events);
        long[] keys = new long[events.Length];
        (int First, int Blocks)[] refills = new (int, int)[CpuCount];
        int[] lastFree = new int[CpuCount];
        Array.Fill(refills, (None, 0));
        Array.Fill(lastFree, None);
        for (int i = 0; i < keys.Length; i++)
        {
            ref readonly TraceStepEvent e = ref events[i];
            keys[i] = ((long)i << PlaceBits) + 1;
            ref (int First, int Blocks) refill = ref refills[e.Cpu];
            ref int free = ref lastFree[e.Cpu];
            switch (e.Step)
            {
                case TraceStep.Refill or TraceStep.UntracedRefill or TraceStep.TakenDirectly:
                    refill = refill.First == None ? (i, 1) : (refill.First, refill.Blocks + 1);
                    keys[i] = ((long)refill.First << PlaceBits) + 1 + refill.Blocks;
                    free = None;
                    break;
                case TraceStep.Allocate when refill.First != None && events[refill.First].Order == e.Order:
                    keys[i] = ((long)refill.First << PlaceBits) + 2 + refill.Blocks;
                    refill.First = free = None;
                    break;
                case TraceStep.Drain when free != None:
                    keys[free] = (long)i << PlaceBits;
                    free = None;
                    break;
                case TraceStep.Free or TraceStep.FreeListed or TraceStep.FreeWhole:
                    free = i;
                    refill.First = None;
                    break;
                case TraceStep.WakesKswapd or TraceStep.StatUpdate:
                    break;
                default:
                    refill.First = free = None;
                    break;
            }
        }

        SortNearlySorted(keys, events);
    }

    /// <summary>Sorts by insertion, in place: an event passes the few of other CPUs that came in between. Where they are many after all, by the library's way.</summary>
    private static void SortNearlySorted(Span<long> keys, Span<TraceStepEvent> events)
    {
        const int MostPassed = 64;
        long left = (long)MostPassed * keys.Length;
        for (int i = 1; i < keys.Length; i++)
        {
            long key = keys[i];
            int to = i;
            while (to > 0 && keys[to - 1] > key)
            {
                to--;
            }

            left -= i - to;
            if (left < 0)
            {
                keys.Sort(events);
                return;
            }

            if (to != i)
            {
                TraceStepEvent e = events[i];
                keys[to..i].CopyTo(keys[(to + 1)..]);
                events[to..i].CopyTo(events[(to + 1)..]);
                keys[to] = key;
                events[to] = e;
            }
        }
    }

    /// <summary>A round of kswapd begins with an event but ends without: with the last thing it did before it sleeps or begins another.</summary>
    private void MarkEndsOfRounds()
    {
        Span<TraceStepEvent> events = CollectionsMarshal.AsSpan(_events);
        Dictionary<int, int> last = [];
        for (int i = 0; i < events.Length; i++)
        {
            if (!events[i].IsKswapd)
            {
                continue;
            }

            if (events[i].Step is TraceStep.KswapdWakes or TraceStep.KswapdSleeps && last.Remove(events[i].Pid, out int end))
            {
                events[end] = events[end] with { EndsKswapdRound = true };
            }

            if (events[i].Step != TraceStep.KswapdSleeps)
            {
                last[events[i].Pid] = i;
            }
        }

        foreach (int end in last.Values)
        {
            events[end] = events[end] with { EndsKswapdRound = true };
        }
    }

    private void LinkFrames()
    {
        ReadOnlySpan<TraceStepEvent> events = Events;
        _next = new int[events.Length];
        for (int i = events.Length - 1; i >= 0; i--)
        {
            _next[i] = None;
            if (IsChained(events[i].Step))
            {
                ref int upcoming = ref _upcoming.At(events[i].Pfn);
                _next[i] = upcoming;
                upcoming = i;
            }
        }
    }
}
