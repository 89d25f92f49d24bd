using System.Runtime.InteropServices;
using MemSim.Kernels;

namespace MemSim.Recordings.Replay;

/// <summary>What a replay does at an event.</summary>
internal enum TraceStep : byte
{
    Allocate,
    AllocationFailed,
    Free,

    /// <summary>A free whose page goes to its list later, with the <see cref="FreeListed"/> of the same frame.</summary>
    FreePrepared,
    FreeListed,

    /// <summary>A free of an interrupt that held up the CPU inside its own per-CPU lists: it goes to the free lists.</summary>
    FreePastLists,

    /// <summary>A free of one page of a block that goes back whole with the <see cref="FreeWhole"/> of its last page.</summary>
    FreePart,

    /// <summary>The free of the last page of a thread's stack (<see cref="TraceReplayOrder.StackOrder"/>), which goes back as one block.</summary>
    FreeWhole,
    Refill,

    /// <summary>The first <see cref="Refill"/> of a list that no recorded allocation asked for: somebody who leaves no event did.</summary>
    UntracedRefill,

    /// <summary>Taken from the free lists for the requester.</summary>
    TakenDirectly,
    Drain,

    /// <summary>Somebody wakes kswapd.</summary>
    WakesKswapd,

    /// <summary>Kswapd begins a round of reclaim.</summary>
    KswapdWakes,
    KswapdSleeps,
    ReclaimBegins,
    ReclaimEnds,

    /// <summary>A CPU updates its counters, which no event tells (<see cref="TraceStatUpdates"/>); with the number of the task that drains, if it does.</summary>
    StatUpdate,
}

/// <summary>A recorded event as far as the page allocator is concerned, packed: a recording has hundreds of thousands.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct TraceStepEvent(TraceStep Step, byte Order, byte MigrateType, ushort Cpu, bool InInterrupt, int Pfn, Gfp Gfp, int Line, int Pid, bool IsKswapd)
{
    /// <summary>Of an allocation: whether it refilled its per-CPU list, so that the list was empty.</summary>
    public bool Refilled { get; init; }

    /// <summary>Whether kswapd ends a round of reclaim with this.</summary>
    public bool EndsKswapdRound { get; init; }

    /// <summary>How often preemption was switched off; 0 where the recording does not tell.</summary>
    public byte PreemptDepth { get; init; }

    /// <summary>Whether it is the first one of a refill: the list was empty.</summary>
    public bool BeginsRefill { get; init; }

    /// <summary>Of a free in an interrupt: whether it is the first one of it.</summary>
    public bool BeginsBurst { get; init; }
}

/// <summary>A recording read into memory, with what comes next for every frame.</summary>
internal sealed class TraceReplayRecording
{
    private const int None = -1;

    private readonly List<TraceStepEvent> _events = [];
    private readonly SortedDictionary<string, long> _counts = new(StringComparer.Ordinal);
    private readonly Dictionary<int, int> _upcoming = [];
    private readonly KernelPersonality _kernel;
    private readonly Dictionary<int, (TraceContext Context, byte Depth, int Pid, long TimeNs, bool IsFree)> _last = [];
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
    public IReadOnlyDictionary<string, long> Counts => _counts;

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
        int next = _upcoming.GetValueOrDefault(pfn, None);
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
        _upcoming.GetValueOrDefault(pfn, None) is int next and >= 0 && _events[next].Step is TraceStep.Refill or TraceStep.UntracedRefill or TraceStep.TakenDirectly;

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

    private void Add(in TraceEvent e, string path)
    {
        Count(e.EventName);
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
        ref var last = ref CollectionsMarshal.GetValueRefOrAddDefault(_last, e.Cpu, out _);
        TraceContext context = e.Context & ~TraceContext.NeedReschedule;
        bool begins = interruptFrees && !(last.IsFree && last.Context == context && last.Depth == e.PreemptDepth && last.Pid == e.Pid && e.TimestampNs - last.TimeNs <= LongestPauseNs);
        last = (context, e.PreemptDepth, e.Pid, e.TimestampNs, interruptFrees);
        return begins;
    }

    private void Count(string name) => _counts[name] = _counts.GetValueOrDefault(name) + 1;

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
        HashSet<int> listed = [];
        Span<TraceStepEvent> events = CollectionsMarshal.AsSpan(_events);
        for (int i = events.Length - 1; i >= 0; i--)
        {
            ref TraceStepEvent e = ref events[i];
            switch (e.Step)
            {
                case TraceStep.FreeListed:
                    listed.Add(e.Pfn);
                    break;
                case TraceStep.Free when listed.Remove(e.Pfn) && e.Order == 0:
                    e = e with { Step = TraceStep.FreePrepared };
                    break;
                case TraceStep.Allocate:
                    listed.Remove(e.Pfn);
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
        long[] keys = new long[_events.Count];
        (int First, int Blocks)[] refills = new (int, int)[CpuCount];
        int[] lastFree = new int[CpuCount];
        Array.Fill(refills, (None, 0));
        Array.Fill(lastFree, None);
        for (int i = 0; i < keys.Length; i++)
        {
            TraceStepEvent e = _events[i];
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
                case TraceStep.Allocate when refill.First != None && _events[refill.First].Order == e.Order:
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

        TraceStepEvent[] sorted = [.. _events];
        Array.Sort(keys, sorted);
        _events.Clear();
        _events.AddRange(sorted);
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
        _next = new int[_events.Count];
        for (int i = _events.Count - 1; i >= 0; i--)
        {
            _next[i] = None;
            if (IsChained(_events[i].Step))
            {
                ref int upcoming = ref CollectionsMarshal.GetValueRefOrAddDefault(_upcoming, _events[i].Pfn, out bool exists);
                _next[i] = exists ? upcoming : None;
                upcoming = i;
            }
        }
    }
}
