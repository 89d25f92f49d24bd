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
}

/// <summary>An event of a machine.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Cpu">On which CPU, by number.</param>
/// <param name="Task">The task that ran there, as <c>name:pid</c>.</param>
/// <param name="CallSite">For objects, what <see cref="MemSim.Cpu.CallSite"/> said.</param>
/// <param name="Pfn">Of pages, the first frame; -1 where there is none.</param>
/// <param name="Order">Of pages, log2 of how many.</param>
/// <param name="Address">Of objects, the address.</param>
/// <param name="Gfp">Of allocations, the flags.</param>
/// <param name="What">Of objects, the cache or the bytes asked for; of victims, the process.</param>
public sealed record RecordedEvent(RecordedKind Kind, int Cpu, string Task, string CallSite, long Pfn, int Order, VirtualAddress Address, Gfp Gfp, string What)
{
    /// <summary>The event in a line.</summary>
    public override string ToString() => Kind switch
    {
        RecordedKind.PageAlloc or RecordedKind.PageAllocFailed or RecordedKind.PageFree or RecordedKind.Fallback => string.Create(CultureInfo.InvariantCulture, $"{Kind} pfn {Pfn} order {Order} on CPU {Cpu} by {Task}"),
        RecordedKind.OomVictim => $"{Kind} {What}",
        _ => string.Create(CultureInfo.InvariantCulture, $"{Kind} {What} at {Address} on CPU {Cpu} by {Task}{(CallSite.Length == 0 ? "" : " in " + CallSite)}"),
    };
}

/// <summary>Records what the page allocator, the slab layer and the OOM killer do until it is disposed.</summary>
public sealed class EventRecorder : IPageTraceSink, ISlabTraceSink, IDisposable
{
    private readonly Machine _machine;
    private readonly List<RecordedEvent> _events = [];
    private readonly OomSink _oom;
    private readonly int _atMost;

    internal EventRecorder(Machine machine, int atMost)
    {
        _machine = machine;
        _atMost = atMost;
        _oom = new OomSink(this);
        machine.Tracing.Attach(this, TraceEvents.Pages);
        machine.Slab.AttachTrace(this);
        machine.Tracing.Attach(_oom);
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
        _machine.Tracing.Detach(this, TraceEvents.Pages);
        _machine.Slab.DetachTrace(this);
        _machine.Tracing.Detach(_oom);
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

    private sealed class OomSink(EventRecorder recorder) : IOomTraceSink
    {
        public void MarkVictim(Cpu cpu, in OomVictim victim) =>
            recorder.Add(new RecordedEvent(RecordedKind.OomVictim, cpu.Id, cpu.Current.ToString(), "", -1, 0, default, Gfp.None, string.Create(CultureInfo.InvariantCulture, $"{victim.Comm}:{victim.Pid}")));

        public void OomScoreAdjUpdate(Cpu cpu, int pid, string comm, int oomScoreAdj)
        {
        }

        public void WakeReaper(Cpu cpu, int pid)
        {
        }

        public void StartTaskReaping(Cpu cpu, int pid)
        {
        }

        public void FinishTaskReaping(Cpu cpu, int pid)
        {
        }

        public void SkipTaskReaping(Cpu cpu, int pid)
        {
        }
    }
}

/// <summary>Where recording begins.</summary>
public static class EventRecorderExtensions
{
    /// <summary>Records the machine's events from now on.</summary>
    /// <param name="machine">The machine; no other thread may drive it meanwhile.</param>
    /// <param name="atMost">Events kept; later ones are only counted.</param>
    public static EventRecorder Record(this Machine machine, int atMost = 1_000_000)
    {
        ArgumentNullException.ThrowIfNull(machine);
        ArgumentOutOfRangeException.ThrowIfNegative(atMost);
        return new EventRecorder(machine, atMost);
    }
}
