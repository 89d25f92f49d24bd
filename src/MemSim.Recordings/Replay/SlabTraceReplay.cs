using MemSim.Recordings.Replay;

namespace MemSim.Recordings;

/// <summary>Does every recorded kmalloc, kfree and call on a cache on a machine of its own, and compares the sizes delivered.</summary>
/// <remarks>A machine of its own, in the same state as the other: the page events that the recorded slab layer caused are in the recording too, and are replayed there.</remarks>
internal sealed class SlabTraceReplay : IDisposable
{
    /// <summary>How often the slab pages in use are looked at, in events.</summary>
    private const int SamplingInterval = 64;

    private readonly SlabTraceRecording _recording;
    private readonly TraceReplayFolder _folder;
    private readonly ReplayTally _tally = new();
    private readonly Machine _machine;
    private readonly KmemCache[] _caches;
    private readonly bool[] _known;
    private readonly CacheFigures[] _figures;
    private readonly SortedDictionary<string, CacheFigures> _kmalloc = new(StringComparer.Ordinal);
    private readonly Dictionary<KmemCache, CacheFigures> _kmallocByCache = [];
    private readonly KernelTask _memAlloc = new("slab", 1) { Flags = TaskFlags.MemAlloc };
    private readonly ulong[] _addresses;
    private long _freed;
    private long _freedUnseen;
    private long _peakPages;

    /// <summary>Prepares the replay.</summary>
    /// <param name="recording">The slab events.</param>
    /// <param name="folder">What lies beside the trace.</param>
    /// <param name="machine">The machine, as the recorded one was before; disposed with the replay.</param>
    public SlabTraceReplay(SlabTraceRecording recording, TraceReplayFolder folder, Machine machine)
    {
        _recording = recording;
        _folder = folder;
        _machine = machine;
        _caches = SlabTraceCaches.Create(machine, recording, folder, out _known);
        _figures = [.. recording.Caches.Select((c, i) => new CacheFigures { FreesOfUnknown = c.FreesOfUnknown, Cache = _caches[i] })];
        _addresses = new ulong[recording.Events.Length];
    }

    public Machine Machine => _machine;

    /// <summary>Does everything; once.</summary>
    public void Run(IProgress<long>? progress)
    {
        ReadOnlySpan<SlabStepEvent> events = _recording.Events;
        for (int i = 0; i < events.Length; i++)
        {
            ref readonly SlabStepEvent e = ref events[i];
            if (e.Step == SlabStep.Free)
            {
                Free(_machine.Cpus[e.Cpu], e.Peer, ref _freed);
            }
            else
            {
                Allocate(e, i);
            }

            if (i % SamplingInterval == 0)
            {
                _peakPages = Math.Max(_peakPages, SlabPages());
                progress?.Report(e.Line);
            }
        }

        _peakPages = Math.Max(_peakPages, SlabPages());
        SlabTraceCaches.CompareLayouts(_caches, _recording, _folder, _tally);
        _machine.Verify();
    }

    public TraceSlabReplay ToResult() => new(
        _tally.ToResult("slab"),
        [.. _kmalloc.Select(k => ToRow(k.Key, k.Value, propertiesKnown: true)), .. _figures.Select((f, i) => ToRow(_recording.Caches[i].Name, f, _known[i])).OrderBy(r => r.Cache, StringComparer.Ordinal)],
        _freed,
        _freedUnseen,
        _recording.FreesOfUnknown,
        _recording.Failed,
        SlabPages(),
        _peakPages);

    /// <inheritdoc/>
    public void Dispose() => _machine.Dispose();

    private void Allocate(in SlabStepEvent e, int index)
    {
        Cpu cpu = _machine.Cpus[e.Cpu];
        if (e.Peer >= 0)
        {
            Free(cpu, e.Peer, ref _freedUnseen);
        }

        // What a machine without reclaim cannot promise is for the comparison to say.
        Gfp gfp = (e.Gfp | Gfp.NoWarn) & ~Gfp.NoFail;
        VirtualAddress obj = Ask(cpu, e, gfp);
        if (obj.IsNull)
        {
            using ContextScope scope = cpu.Run(_memAlloc);
            obj = Ask(cpu, e, gfp);
        }

        _addresses[index] = obj.Value;
        KmemCache? cache = _machine.Slab.CacheAt(obj);
        long delivered = cache?.Size ?? cpu.Slab.Ksize(obj);
        SlabStepEvent recorded = e;
        if (e.Step == SlabStep.Kmalloc)
        {
            FiguresOf(cache).Add(e);
            _tally.Compare("kmalloc bytes_alloc", delivered == e.Delivered, () => $"line {recorded.Line}: kmalloc of {recorded.Requested} bytes: {recorded.Delivered} delivered, {Text(obj, delivered)} here");
        }
        else
        {
            _figures[e.Cache].Add(e);
            _tally.Compare(
                _known[e.Cache] ? "cache bytes_alloc" : "cache bytes_alloc, by rule",
                delivered == e.Delivered,
                () => $"line {recorded.Line}: an object of {_recording.Caches[recorded.Cache].Name}, {recorded.Requested} bytes: {recorded.Delivered} delivered, {Text(obj, delivered)} here");
        }
    }

    private VirtualAddress Ask(Cpu cpu, in SlabStepEvent e, Gfp gfp)
    {
        bool anywhere = (uint)e.Node >= (uint)_machine.Nodes.Count;
        return e.Step == SlabStep.Kmalloc
            ? anywhere ? cpu.Kmalloc(e.Requested, gfp) : cpu.Slab.KmallocNode(e.Requested, gfp, e.Node)
            : anywhere ? cpu.Alloc(_caches[e.Cache], gfp) : cpu.Slab.AllocNode(_caches[e.Cache], gfp, e.Node);
    }

    private void Free(Cpu cpu, int allocation, ref long count)
    {
        VirtualAddress obj = new(_addresses[allocation]);
        _addresses[allocation] = 0;
        count++;
        ref readonly SlabStepEvent e = ref _recording.Events[allocation];
        if (e.Step == SlabStep.Kmalloc)
        {
            FiguresOf(_machine.Slab.CacheAt(obj)).Freed++;
            cpu.Kfree(obj);
        }
        else
        {
            _figures[e.Cache].Freed++;
            cpu.Free(_caches[e.Cache], obj);
        }
    }

    private CacheFigures FiguresOf(KmemCache? cache)
    {
        if (cache is not null && _kmallocByCache.TryGetValue(cache, out CacheFigures? known))
        {
            return known;
        }

        string name = cache?.Name ?? "(pages)";
        if (!_kmalloc.TryGetValue(name, out CacheFigures? figures))
        {
            figures = new CacheFigures { Cache = cache };
            _kmalloc.Add(name, figures);
        }

        if (cache is not null)
        {
            _kmallocByCache.Add(cache, figures);
        }

        return figures;
    }

    private TraceSlabCacheRow ToRow(string name, CacheFigures figures, bool propertiesKnown)
    {
        long slabs = figures.Cache is { } cache ? _machine.Slab.UsageOf(cache).Slabs : 0;
        return new TraceSlabCacheRow(
            name, propertiesKnown, figures.Cache?.Size ?? 0, figures.Allocated, figures.Freed, figures.FreesOfUnknown, figures.Requested, figures.Delivered, figures.Allocated - figures.Freed, slabs);
    }

    private long SlabPages()
    {
        long pages = 0;
        for (int node = 0; node < _machine.Nodes.Count; node++)
        {
            pages += _machine.Slab.ReclaimablePages(_machine.Nodes[node].Id) + _machine.Slab.UnreclaimablePages(_machine.Nodes[node].Id);
        }

        return pages;
    }

    private static string Text(VirtualAddress obj, long delivered) => obj.IsNull ? "no memory" : $"{delivered}";

    private sealed class CacheFigures
    {
        public KmemCache? Cache;
        public long Allocated;
        public long Freed;
        public long Requested;
        public long Delivered;
        public long FreesOfUnknown;

        public void Add(in SlabStepEvent e)
        {
            Allocated++;
            Requested += e.Requested;
            Delivered += e.Delivered;
        }
    }
}

/// <summary>What a replay did with the objects of one cache.</summary>
/// <param name="Cache">Its name; <c>(pages)</c> for kmalloc objects too large for a cache, <c>(unnamed, N bytes)</c> where no free told the name.</param>
/// <param name="PropertiesKnown">Whether alignment and flags are the recorded machine's, not the first that lead to the recorded sizes.</param>
/// <param name="SlotBytes">Bytes from one object to the next; 0 for pages.</param>
/// <param name="Allocated">Objects allocated.</param>
/// <param name="Freed">Of these, objects freed.</param>
/// <param name="FreesOfUnknown">Objects freed whose allocation is not recorded (bulk allocations leave no event); not replayed.</param>
/// <param name="BytesRequested">Bytes asked for.</param>
/// <param name="BytesAllocated">Bytes that the recorded machine delivered.</param>
/// <param name="Live">Objects still live at the end.</param>
/// <param name="Slabs">Slabs of the cache at the end.</param>
public sealed record TraceSlabCacheRow(
    string Cache, bool PropertiesKnown, int SlotBytes, long Allocated, long Freed, long FreesOfUnknown, long BytesRequested, long BytesAllocated, long Live, long Slabs);

/// <summary>What came of doing the recorded slab events on a machine.</summary>
/// <param name="Comparison">
/// The comparisons: <c>kmalloc bytes_alloc</c> and <c>cache bytes_alloc</c>, one for each object; <c>cache bytes_alloc, by rule</c> of caches whose properties are not known;
/// <c>slab layout</c> for each figure of <c>slabinfo</c>.
/// </param>
/// <param name="Caches">By cache, those of kmalloc first.</param>
/// <param name="Freed">Objects freed as recorded.</param>
/// <param name="FreedWithoutEvent">Objects freed because another appeared at their address: <c>kfree_rcu()</c> and bulk frees leave no event.</param>
/// <param name="FreesOfUnknown">Frees of objects whose allocation is not recorded.</param>
/// <param name="FailedAllocations">Allocations that failed when recorded; not replayed.</param>
/// <param name="SlabPages">Pages of slabs, and of large kmalloc objects, at the end.</param>
/// <param name="PeakSlabPages">The most there were.</param>
public sealed record TraceSlabReplay(
    ReplayResult Comparison,
    IReadOnlyList<TraceSlabCacheRow> Caches,
    long Freed,
    long FreedWithoutEvent,
    long FreesOfUnknown,
    long FailedAllocations,
    long SlabPages,
    long PeakSlabPages)
{
    /// <summary>Objects still live at the end.</summary>
    public long LiveObjects => Caches.Sum(c => c.Live);
}
