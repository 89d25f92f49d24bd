namespace MemSim.Explorer.Pictures;

/// <summary>Listens to a machine's tracepoints: the latest lines, which parts of memory changed, when each block was allocated, and free pages over time.</summary>
public sealed partial class Recorder : IPageTraceSink
{
    private const int MostLines = 600;
    private const int MostSamples = 1024;

    private readonly Machine _machine;
    private readonly Queue<TraceLine> _lines = new();
    private readonly List<MemorySample> _samples = [];
    private readonly List<int> _changed = [];
    private readonly bool[] _isChanged;
    private readonly uint[] _stamps;
    private int _every = 64;

    /// <summary>Attaches itself.</summary>
    /// <param name="machine">The machine to listen to.</param>
    public Recorder(Machine machine)
        : this(machine, null)
    {
    }

    /// <summary>Attaches itself and goes on.</summary>
    /// <param name="machine">The machine to listen to.</param>
    /// <param name="memory">What was heard of it before; null for nothing.</param>
    internal Recorder(Machine machine, RecorderMemory? memory)
    {
        ArgumentNullException.ThrowIfNull(machine);
        _machine = machine;
        _stamps = new uint[new MemSim.Observability.FrameViewer(machine).Frames];
        _isChanged = new bool[_stamps.Length >> PageGeometry.MaxOrder];
        machine.Tracing.Attach(this, TraceEvents.Pages);
        machine.Tracing.Attach(this, TraceEvents.Reclaim);
        machine.Tracing.Attach(this, TraceEvents.Compaction);
        machine.Tracing.Attach(this, TraceEvents.Oom);
        if (memory is not null)
        {
            (Count, Migrated, Fallbacks, _every) = (memory.Count, memory.Migrated, memory.Fallbacks, memory.Every);
            memory.Stamps.CopyTo(_stamps);
            _samples.AddRange(memory.Samples);
            foreach (TraceLine line in memory.Lines)
            {
                _lines.Enqueue(line);
            }
        }
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

    /// <summary>Blocks of the largest order in which something changed since <see cref="ForgetChanged"/>, each once.</summary>
    internal IReadOnlyList<int> ChangedBlocks => _changed;

    /// <summary>What changed was drawn.</summary>
    internal void ForgetChanged()
    {
        foreach (int block in _changed)
        {
            _isChanged[block] = false;
        }

        _changed.Clear();
    }

    /// <summary>What was heard so far, of a machine without reclaim.</summary>
    internal RecorderMemory Remember() => new(Count, Migrated, Fallbacks, _every, [.. _stamps], [.. _samples], [.. _lines]);

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

        long[] free = new long[machine.Zones.Count];
        for (int i = 0; i < free.Length; i++)
        {
            free[i] = machine.Zones[i].TrueFreePages;
        }

        _samples.Add(new MemorySample(Count, free));
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

    private void Changed(long pfn)
    {
        int block = (int)(pfn >> PageGeometry.MaxOrder);
        if ((uint)block < (uint)_isChanged.Length && !_isChanged[block])
        {
            _isChanged[block] = true;
            _changed.Add(block);
        }
    }

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

/// <summary>What a <see cref="Recorder"/> heard.</summary>
internal sealed record RecorderMemory(long Count, long Migrated, long Fallbacks, int Every, uint[] Stamps, IReadOnlyList<MemorySample> Samples, IReadOnlyList<TraceLine> Lines);
