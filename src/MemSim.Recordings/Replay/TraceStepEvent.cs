using System.Runtime.InteropServices;

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

/// <summary>A recorded event as far as the page allocator is concerned, packed into 24 bytes: a recording has millions.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct TraceStepEvent
{
    private readonly Marks _marks;

    public TraceStepEvent(TraceStep step, byte order, byte migrateType, ushort cpu, bool inInterrupt, int pfn, Gfp gfp, int line, int pid, bool isKswapd)
    {
        Step = step;
        Order = order;
        MigrateType = migrateType;
        Cpu = cpu;
        Pfn = pfn;
        Gfp = gfp;
        Line = line;
        Pid = pid;
        _marks = (inInterrupt ? Marks.InInterrupt : 0) | (isKswapd ? Marks.IsKswapd : 0);
    }

    [Flags]
    private enum Marks : byte
    {
        InInterrupt = 1,
        IsKswapd = 2,
        Refilled = 4,
        EndsKswapdRound = 8,
        BeginsRefill = 16,
        BeginsBurst = 32,
    }

    public TraceStep Step { get; init; }

    public byte Order { get; init; }

    public byte MigrateType { get; init; }

    public ushort Cpu { get; init; }

    public int Pfn { get; init; }

    public Gfp Gfp { get; init; }

    public int Line { get; init; }

    public int Pid { get; init; }

    /// <summary>How often preemption was switched off; 0 where the recording does not tell.</summary>
    public byte PreemptDepth { get; init; }

    public bool InInterrupt => Has(Marks.InInterrupt);

    public bool IsKswapd => Has(Marks.IsKswapd);

    /// <summary>Of an allocation: whether it refilled its per-CPU list, so that the list was empty.</summary>
    public bool Refilled
    {
        get => Has(Marks.Refilled);
        init => _marks = With(Marks.Refilled, value);
    }

    /// <summary>Whether kswapd ends a round of reclaim with this.</summary>
    public bool EndsKswapdRound
    {
        get => Has(Marks.EndsKswapdRound);
        init => _marks = With(Marks.EndsKswapdRound, value);
    }

    /// <summary>Whether it is the first one of a refill: the list was empty.</summary>
    public bool BeginsRefill
    {
        get => Has(Marks.BeginsRefill);
        init => _marks = With(Marks.BeginsRefill, value);
    }

    /// <summary>Of a free in an interrupt: whether it is the first one of it.</summary>
    public bool BeginsBurst
    {
        get => Has(Marks.BeginsBurst);
        init => _marks = With(Marks.BeginsBurst, value);
    }

    private bool Has(Marks mark) => (_marks & mark) != 0;

    private Marks With(Marks mark, bool value) => value ? _marks | mark : _marks & ~mark;
}
