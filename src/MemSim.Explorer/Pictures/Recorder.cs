namespace MemSim.Explorer.Pictures;

/// <summary>Listens to a machine's tracepoints: the latest lines, which parts of memory changed, when each block was allocated, and free pages over time.</summary>
public sealed partial class Recorder : IPageTraceSink
{
    private const int MostLines = 600;
    private const int MostSamples = 1024;

    private readonly Machine _machine;
    private readonly Queue<TraceLine> _lines = new();
    private readonly List<MemorySample> _samples = [];
    private readonly HashSet<int> _changed = [];
    private readonly uint[] _stamps;
    private int _every = 64;

    /// <summary>Attaches itself.</summary>
    /// <param name="machine">The machine to listen to.</param>
    public Recorder(Machine machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        _machine = machine;
        _stamps = new uint[new MemSim.Observability.FrameViewer(machine).Frames];
        machine.Tracing.Attach(this, TraceEvents.Pages);
        machine.Tracing.Attach(this, TraceEvents.Reclaim);
        machine.Tracing.Attach(this, TraceEvents.Compaction);
        machine.Tracing.Attach(this, TraceEvents.Oom);
    }

    /// <summary>Tracepoints that fired.</summary>
    public long Count { get; private set; }

    /// <summary>Pages that compaction or a contiguous allocation moved.</summary>
    public long Migrated { get; private set; }

    /// <summary>Requests that took a block of another type.</summary>
    public long Fallbacks { get; private set; }

    /// <summary>Times kswapd woke up.</summary>
    public long KswapdWakes { get; private set; }

    /// <summary>Allocations that had to reclaim themselves.</summary>
    public long DirectReclaims { get; private set; }

    /// <summary>Processes killed for want of memory.</summary>
    public long OomKills { get; private set; }

    /// <summary>The latest lines, oldest first.</summary>
    public IReadOnlyCollection<TraceLine> Lines => _lines;

    /// <summary>Free pages over time.</summary>
    public IReadOnlyList<MemorySample> Samples => _samples;

    /// <summary>When each block was allocated, by first frame: the number of the event; 0 for before anybody listened.</summary>
    internal ReadOnlySpan<uint> Stamps => _stamps;

    /// <summary>Blocks of the largest order in which something changed since the last <see cref="TakeChanged"/>.</summary>
    internal int[] TakeChanged()
    {
        int[] changed = [.. _changed];
        _changed.Clear();
        Array.Sort(changed);
        return changed;
    }

    /// <summary>Notes free pages now.</summary>
    public void Sample(Machine machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        if (_samples.Count == MostSamples)
        {
            // Every second one goes: the curve keeps its shape however long it gets.
            for (int i = 1; i < MostSamples / 2; i++)
            {
                _samples[i] = _samples[i * 2];
            }

            _samples.RemoveRange(MostSamples / 2, MostSamples / 2);
            _every *= 2;
        }

        _samples.Add(new MemorySample(Count, [.. machine.Zones.Select(z => z.TrueFreePages)]));
    }

    /// <inheritdoc/>
    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp)
    {
        Add("mm_page_alloc", pfn, order, pfn < 0 ? "failed" : string.Empty);
        if (pfn >= 0)
        {
            _stamps[pfn] = (uint)Count;
            Changed(pfn);
        }
    }

    /// <inheritdoc/>
    public void MmPageFree(Cpu cpu, long pfn, int order)
    {
        Add("mm_page_free", pfn, order, string.Empty);
        Changed(pfn);
    }

    /// <inheritdoc/>
    public void MmPageFreeBatched(Cpu cpu, long pfn) => Changed(pfn);

    /// <inheritdoc/>
    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill)
    {
        Add("mm_page_alloc_zone_locked", pfn, order, percpuRefill ? "percpu_refill=1" : string.Empty);
        Changed(pfn);
    }

    /// <inheritdoc/>
    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType)
    {
        Add("mm_page_pcpu_drain", pfn, order, string.Empty);
        Changed(pfn);
    }

    /// <inheritdoc/>
    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership)
    {
        Fallbacks++;
        Add("mm_page_alloc_extfrag", pfn, allocOrder, $"fallback_order={fallbackOrder} {allocType} took from {fallbackType}{(changeOwnership ? ", the page block changes hands" : string.Empty)}");
        Changed(pfn);
    }

    private void Changed(long pfn) => _changed.Add((int)(pfn >> PageGeometry.MaxOrder));

    private void Add(string name, long pfn, int order, string detail)
    {
        _lines.Enqueue(new TraceLine(Count++, name, pfn, order, detail));
        if (_lines.Count > MostLines)
        {
            _lines.Dequeue();
        }

        if (Count % _every == 0)
        {
            Sample(_machine);
        }
    }
}
