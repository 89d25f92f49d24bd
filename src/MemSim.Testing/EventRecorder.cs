using System.Globalization;

namespace MemSim.Testing;

/// <summary>What happened.</summary>
public enum RecordedKind
{
    /// <summary>A block of pages was allocated.</summary>
    PageAlloc,

    /// <summary>A request for pages failed.</summary>
    PageAllocFailed,

    /// <summary>A block of pages was freed.</summary>
    PageFree,

    /// <summary>A request took a block of another migrate type.</summary>
    Fallback,

    /// <summary>An object was allocated.</summary>
    ObjectAlloc,

    /// <summary>A request for an object failed.</summary>
    ObjectAllocFailed,

    /// <summary>An object was freed.</summary>
    ObjectFree,

    /// <summary>The OOM killer chose a process.</summary>
    OomVictim,

    /// <summary>The reaper took a victim's memory.</summary>
    OomReaped,

    /// <summary>A request woke the kswapd of a node (<c>mm_vmscan_wakeup_kswapd</c>).</summary>
    WakeupKswapd,

    /// <summary>kswapd began to balance its node.</summary>
    KswapdWake,

    /// <summary>kswapd went to sleep.</summary>
    KswapdSleep,

    /// <summary>A request began to reclaim for itself.</summary>
    DirectReclaimBegin,

    /// <summary>It got so many pages.</summary>
    DirectReclaimEnd,

    /// <summary>Pages of an inactive list were looked at, and some of them freed (<c>mm_vmscan_lru_shrink_inactive</c>).</summary>
    Reclaimed,

    /// <summary>Reclaim wrote a page: an anonymous one to swap, another one to its file (<c>mm_vmscan_write_folio</c>).</summary>
    PageWritten,

    /// <summary>A task that reclaims had to wait.</summary>
    ReclaimThrottled,

    /// <summary>A run of compaction over a zone began.</summary>
    CompactionBegin,

    /// <summary>It ended.</summary>
    CompactionEnd,

    /// <summary>A zone was left out because compaction had failed there recently.</summary>
    CompactionDeferred,

    /// <summary>Somebody woke the kcompactd of a node.</summary>
    WakeupKcompactd,

    /// <summary>A list of pages was moved (<c>mm_migrate_pages</c>).</summary>
    PagesMigrated,

    /// <summary>A range was allocated from a contiguous memory area.</summary>
    CmaAlloc,

    /// <summary>A request for a range of a contiguous memory area failed.</summary>
    CmaAllocFailed,

    /// <summary>A range went back to its contiguous memory area.</summary>
    CmaRelease,

    /// <summary>A page fault, of user code or of kernel code on behalf of a process; pages that come back from swap come with one.</summary>
    PageFault,
}

/// <summary>An event of a machine.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Cpu">On which CPU, by number.</param>
/// <param name="Task">The task that ran there, as <c>name:pid</c>.</param>
/// <param name="CallSite">For objects, what <see cref="MemSim.Cpu.CallSite"/> said.</param>
/// <param name="Pfn">Of pages, the first frame; of runs of compaction, where the migration scanner was; -1 where there is none.</param>
/// <param name="Order">Of pages, log2 of how many; of reclaim and compaction, what they were for (-1: of no order in particular).</param>
/// <param name="Address">Of objects and page faults, the address.</param>
/// <param name="Gfp">Of allocations and who reclaims for one, the flags.</param>
/// <param name="What">Of objects, the cache or the bytes asked for; of victims, the process; of compaction, how it ended; of moved pages and waiting tasks, the reason; of contiguous areas, the name.</param>
public sealed record RecordedEvent(RecordedKind Kind, int Cpu, string Task, string CallSite, long Pfn, int Order, VirtualAddress Address, Gfp Gfp, string What)
{
    /// <summary>Of reclaim, moved pages and contiguous areas: pages freed, moved, allocated or given back; 1 for a page that was written.</summary>
    public long Pages { get; init; }

    /// <summary>Of <see cref="RecordedKind.Reclaimed"/>, pages looked at; of <see cref="RecordedKind.PagesMigrated"/>, pages that could not be moved.</summary>
    public long Others { get; init; }

    /// <summary>The node whose kswapd or kcompactd it is, or whose lists; -1 where there is none.</summary>
    public int Node { get; init; } = -1;

    /// <summary>The event in a line.</summary>
    public override string ToString() => Kind switch
    {
        RecordedKind.WakeupKswapd or RecordedKind.KswapdWake or RecordedKind.WakeupKcompactd => string.Create(CultureInfo.InvariantCulture, $"{Kind} node {Node} order {Order} on CPU {Cpu} by {Task}"),
        RecordedKind.KswapdSleep => string.Create(CultureInfo.InvariantCulture, $"{Kind} node {Node} on CPU {Cpu}"),
        RecordedKind.DirectReclaimBegin or RecordedKind.CompactionDeferred => string.Create(CultureInfo.InvariantCulture, $"{Kind} order {Order} on CPU {Cpu} by {Task}"),
        RecordedKind.DirectReclaimEnd => string.Create(CultureInfo.InvariantCulture, $"{Kind} {Pages} pages on CPU {Cpu} by {Task}"),
        RecordedKind.Reclaimed => string.Create(CultureInfo.InvariantCulture, $"{Kind} {Pages} of {Others} pages of node {Node}, {What} on CPU {Cpu} by {Task}"),
        RecordedKind.PageWritten => string.Create(CultureInfo.InvariantCulture, $"{Kind} pfn {Pfn} to {What} on CPU {Cpu} by {Task}"),
        RecordedKind.ReclaimThrottled => string.Create(CultureInfo.InvariantCulture, $"{Kind} node {Node} for {What} on CPU {Cpu} by {Task}"),
        RecordedKind.CompactionBegin or RecordedKind.CompactionEnd => string.Create(CultureInfo.InvariantCulture, $"{Kind} at pfn {Pfn}{(What.Length == 0 ? "" : ": " + What)} on CPU {Cpu} by {Task}"),
        RecordedKind.PagesMigrated => string.Create(CultureInfo.InvariantCulture, $"{Kind} {Pages}, {Others} failed, for {What} on CPU {Cpu} by {Task}"),
        RecordedKind.CmaAlloc or RecordedKind.CmaAllocFailed or RecordedKind.CmaRelease => string.Create(CultureInfo.InvariantCulture, $"{Kind} {What} pfn {Pfn}, {Pages} pages on CPU {Cpu} by {Task}"),
        RecordedKind.PageFault => string.Create(CultureInfo.InvariantCulture, $"{Kind} at {Address} on CPU {Cpu} by {Task}"),
        RecordedKind.PageAlloc or RecordedKind.PageAllocFailed or RecordedKind.PageFree or RecordedKind.Fallback => string.Create(CultureInfo.InvariantCulture, $"{Kind} pfn {Pfn} order {Order} on CPU {Cpu} by {Task}"),
        RecordedKind.OomVictim or RecordedKind.OomReaped => $"{Kind} {What}",
        _ => string.Create(CultureInfo.InvariantCulture, $"{Kind} {What} at {Address} on CPU {Cpu} by {Task}{(CallSite.Length == 0 ? "" : " in " + CallSite)}"),
    };
}

/// <summary>Records what happens to memory until it is disposed: what the page allocator, the slab layer, reclaim, compaction, contiguous memory areas and the OOM killer do, and page faults.</summary>
/// <remarks>Events are the tracepoints of the kernel; swap has none of its own: a page that goes there is a <see cref="RecordedKind.PageWritten"/>, one that comes back a <see cref="RecordedKind.PageFault"/>.</remarks>
public sealed partial class EventRecorder : IPageTraceSink, ISlabTraceSink, IDisposable
{
    private readonly Machine _machine;
    private readonly List<RecordedEvent> _events = [];
    private readonly PressureSink _pressure;
    private readonly TraceEvents _wanted;
    private readonly int _atMost;

    internal EventRecorder(Machine machine, int atMost, TraceEvents events)
    {
        _machine = machine;
        _atMost = atMost;
        _wanted = events;
        _pressure = new PressureSink(this);
        if ((events & (TraceEvents.Pages | TraceEvents.Slab)) != 0)
        {
            machine.Tracing.Attach(this, events);
        }

        if ((events & PressureSink.Wanted) != 0)
        {
            machine.Tracing.Attach(_pressure, events);
        }
    }

    /// <summary>What happened, in order.</summary>
    public IReadOnlyList<RecordedEvent> Events => _events;

    /// <summary>Events that were not kept because there were too many.</summary>
    public long Dropped { get; private set; }

    /// <summary>The events of a kind.</summary>
    /// <param name="kind">The kind.</param>
    public IEnumerable<RecordedEvent> Of(RecordedKind kind) => _events.Where(e => e.Kind == kind);

    /// <summary>How many events of a kind there were.</summary>
    /// <param name="kind">The kind.</param>
    public int Count(RecordedKind kind) => _events.Count(e => e.Kind == kind);

    /// <summary>Forgets what was recorded.</summary>
    public void Clear() => _events.Clear();

    /// <summary>Stops recording; what was recorded stays.</summary>
    public void Dispose()
    {
        _machine.Tracing.Detach(this, _wanted);
        _machine.Tracing.Detach(_pressure, _wanted);
    }

    /// <summary>The events, a line each.</summary>
    public override string ToString() => string.Concat(_events.Select(e => e + "\n"));

    void IPageTraceSink.MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp) => Page(pfn < 0 ? RecordedKind.PageAllocFailed : RecordedKind.PageAlloc, cpu, pfn, order, gfp);

    void IPageTraceSink.MmPageFree(Cpu cpu, long pfn, int order) => Page(RecordedKind.PageFree, cpu, pfn, order, Gfp.None);

    void IPageTraceSink.MmPageFreeBatched(Cpu cpu, long pfn)
    {
    }

    void IPageTraceSink.MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill)
    {
    }

    void IPageTraceSink.MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType)
    {
    }

    void IPageTraceSink.MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership) =>
        Page(RecordedKind.Fallback, cpu, pfn, fallbackOrder, Gfp.None);

    void ISlabTraceSink.Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node) =>
        Object(ptr.IsNull ? RecordedKind.ObjectAllocFailed : RecordedKind.ObjectAlloc, cpu, callSite, ptr, gfp, string.Create(CultureInfo.InvariantCulture, $"kmalloc({bytesReq})"));

    void ISlabTraceSink.Kfree(Cpu cpu, string callSite, VirtualAddress ptr) => Object(RecordedKind.ObjectFree, cpu, callSite, ptr, Gfp.None, "kfree");

    void ISlabTraceSink.KmemCacheAlloc(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache, Gfp gfp, int node) =>
        Object(ptr.IsNull ? RecordedKind.ObjectAllocFailed : RecordedKind.ObjectAlloc, cpu, callSite, ptr, gfp, cache.Name);

    void ISlabTraceSink.KmemCacheFree(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache) => Object(RecordedKind.ObjectFree, cpu, callSite, ptr, Gfp.None, cache.Name);

    private void Page(RecordedKind kind, Cpu cpu, long pfn, int order, Gfp gfp) => Add(new RecordedEvent(kind, cpu.Id, cpu.Current.ToString(), "", pfn, order, default, gfp, ""));

    private void Object(RecordedKind kind, Cpu cpu, string callSite, VirtualAddress ptr, Gfp gfp, string what) => Add(new RecordedEvent(kind, cpu.Id, cpu.Current.ToString(), callSite, -1, 0, ptr, gfp, what));

    private void Add(RecordedEvent happened)
    {
        lock (_events)
        {
            if (_events.Count < _atMost)
            {
                _events.Add(happened);
            }
            else
            {
                Dropped++;
            }
        }
    }
}

/// <summary>Where recording begins.</summary>
public static class EventRecorderExtensions
{
    /// <summary>Records the machine's events from now on.</summary>
    /// <param name="machine">The machine; no other thread may drive it meanwhile.</param>
    /// <param name="atMost">Events kept; later ones are only counted.</param>
    /// <param name="events">Whose events to record; page faults need a machine with contents of RAM.</param>
    public static EventRecorder Record(this Machine machine, int atMost = 1_000_000, TraceEvents events = TraceEvents.All)
    {
        ArgumentNullException.ThrowIfNull(machine);
        ArgumentOutOfRangeException.ThrowIfNegative(atMost);
        return new EventRecorder(machine, atMost, events);
    }
}
