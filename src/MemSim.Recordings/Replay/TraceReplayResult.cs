using MemSim.Kernels;

namespace MemSim.Recordings;

/// <summary>How often an event was recorded and how often the machine emitted it during the replay.</summary>
/// <param name="Name">The kernel's name of the event.</param>
/// <param name="Recorded">In the recording.</param>
/// <param name="Replayed">By the machine; null for events the page allocator does not emit.</param>
public sealed record TraceEventCount(string Name, long Recorded, long? Replayed);

/// <summary>Predictions on one CPU.</summary>
/// <param name="Cpu">The CPU.</param>
/// <param name="Allocations">Allocations recorded there.</param>
/// <param name="Predicted">Of these, those whose frame the machine predicted.</param>
public sealed record TraceReplayCpu(int Cpu, long Allocations, long Predicted);

/// <summary>Why predictions failed.</summary>
/// <param name="Reason">Where the recorded frame was in the machine instead of in front.</param>
/// <param name="Count">How many.</param>
public sealed record TraceReplayMiss(string Reason, long Count);

/// <summary>How often allocations woke kswapd. The rounds in which it works are taken from the recording: this says whether the same allocations wake it.</summary>
/// <param name="Recorded">In the recording (<c>mm_vmscan_wakeup_kswapd</c>).</param>
/// <param name="Replayed">By the allocations of the replay; null where there is no machine. Means something only where the events of kswapd are recorded.</param>
public sealed record TraceKswapdWakeups(long Recorded, long? Replayed);

/// <summary>What came of replaying a recorded event stream.</summary>
public sealed record TraceReplayResult
{
    /// <summary>The recording.</summary>
    public required string Name { get; init; }

    /// <summary>Why frames cannot be predicted from this recording; null where they can.</summary>
    public string? NotPredictable { get; init; }

    /// <summary>Allocations recorded, failed ones not counted.</summary>
    public long Allocations { get; init; }

    /// <summary>Allocations whose frame the machine predicted, <see cref="Displaced"/> ones included.</summary>
    public long Predicted { get; init; }

    /// <summary>
    /// Of these, those that were right only once events recorded in another order than what they tell of were put in order: an interrupt, or from 6.18 on another
    /// task, had come between a list and the event.
    /// </summary>
    public long Displaced { get; init; }

    /// <summary>The share of frames predicted with the events in the order recorded, 0 to 1.</summary>
    public double ShareInOrder => Allocations == 0 ? 0 : (double)(Predicted - Displaced) / Allocations;

    /// <summary>The share of frames predicted, 0 to 1.</summary>
    public double Share => Allocations == 0 ? 0 : (double)Predicted / Allocations;

    /// <summary>Predictions by CPU.</summary>
    public IReadOnlyList<TraceReplayCpu> Cpus { get; init; } = [];

    /// <summary>Predictions that failed, by reason, most first.</summary>
    public IReadOnlyList<TraceReplayMiss> Misses { get; init; } = [];

    /// <summary>Pages taken out of the free lists because the next event recorded of them is a free, so that somebody had taken them without an event.</summary>
    public long UntracedPagesInferred { get; init; }

    /// <summary>Pages taken out because the recording refills the list they are in, which happens to empty lists only.</summary>
    public long UntracedPagesInferredFromRefills { get; init; }

    /// <summary>Pages found to have been taken without an event because, after a wrong prediction, the recorded frame came next once they were out of the way.</summary>
    public long UntracedPagesNoticed { get; init; }

    /// <summary>Blocks recorded as freed that the machine still held as free: taken without an event, and noticed only then.</summary>
    public long UntracedPagesFoundAtFree { get; init; }

    /// <summary>Allocations recorded as failed.</summary>
    public long FailedAllocations { get; init; }

    /// <summary>Drains of per-CPU lists that the recording shows and no rule of the lists explains: somebody asked for them.</summary>
    public long ExplicitDrains { get; init; }

    /// <summary>Recorded drains by the periodic update of counters, which lowers the limits of per-CPU lists (6.7 and later): how many there were.</summary>
    public long StatDrains { get; init; }

    /// <summary>Those of <see cref="StatDrains"/> that were of as many pages as the limit, lowered by the rule, says.</summary>
    public long StatDrainsAsRecorded { get; init; }

    /// <summary>Frees that a recording shows to have reached the moving limit of a per-CPU list, or not to have, unlike here: the limit was corrected, how much is drained follows from the rules.</summary>
    public long LimitsCorrected { get; init; }

    /// <summary>Pages freed by interrupts that held up a CPU inside its own per-CPU lists, so that they went past them (6.12 and later).</summary>
    public long FreedPastLists { get; init; }

    /// <summary>Pages still in a CPU's list here that the recording takes from the free lists next, so that they had gone back there unseen.</summary>
    public long GivenBackUnseen { get; init; }

    /// <summary>
    /// Allocations that are the first use of a frame by which the start state was put together, where the lists before the recording were not read: they agree by construction and say nothing of the rules. 0 where
    /// the lists were read.
    /// </summary>
    public long TellingStart { get; init; }

    /// <summary>Allocations whose frame was predicted without being one of <see cref="TellingStart"/>.</summary>
    public long PredictedUntold { get; init; }

    /// <summary>The share of frames predicted among those that do not tell the start state, 0 to 1; the same as <see cref="Share"/> where the lists were read.</summary>
    public double ShareUntold => Allocations == TellingStart ? 0 : (double)PredictedUntold / (Allocations - TellingStart);

    /// <summary>Whose rules the machine followed, and what is to be said about that.</summary>
    public required KernelChoice Kernel { get; init; }

    /// <summary>Names of flags in the recording that no kernel known here has; they were read as no flag.</summary>
    public IReadOnlyList<string> UnknownFlags { get; init; } = [];

    /// <summary>Events of all kinds read.</summary>
    public long EventCount { get; init; }

    /// <summary>Events that the recording says were lost before they reached the file.</summary>
    public long LostEvents { get; init; }

    /// <summary>Events whose lines name no CPU (<c>perf script -F</c> without <c>cpu</c>); they were replayed on CPU 0, so that frames cannot agree on a machine of several.</summary>
    public long EventsWithoutCpu { get; init; }

    /// <summary>Events by name.</summary>
    public IReadOnlyList<TraceEventCount> Events { get; init; } = [];

    /// <summary>Wake-ups of kswapd.</summary>
    public required TraceKswapdWakeups KswapdWakeups { get; init; }

    /// <summary>The comparisons: predicted frames (<c>pfn</c>), event counts, the final <c>buddyinfo</c>, the final lists.</summary>
    public required ReplayResult Comparison { get; init; }

    /// <summary>The page events in figures.</summary>
    public required TracePageStatistics Pages { get; init; }

    /// <summary>The slab events in figures.</summary>
    public required TraceSlabStatistics Slab { get; init; }

    /// <summary>What came of doing the slab events on a machine; null where none are recorded.</summary>
    public TraceSlabReplay? SlabReplay { get; init; }
}
