namespace MemSim.Slab;

/// <summary>One allocation or free of an object (<c>struct track</c>).</summary>
/// <param name="CallSite">Who made the call; empty when nobody said (<see cref="Cpu.CallSite"/>).</param>
/// <param name="Cpu">The CPU.</param>
/// <param name="Pid">The task.</param>
internal sealed record SlabTrack(string CallSite, int Cpu, int Pid)
{
    /// <summary>The position in the order of all tracked events, in place of the kernel's jiffies.</summary>
    public long Sequence { get; init; }

    /// <summary>Of an allocation by kmalloc, the bytes asked for; else null.</summary>
    public int? RequestedBytes { get; init; }
}

/// <summary>Who allocated and freed each object of tracked caches last.</summary>
internal sealed class SlabTracks
{
    private readonly Dictionary<ulong, Entry> _entries = [];
    // Guards _entries and Sequence.
    private readonly Lock _lock = new();

    /// <summary>How many events were tracked so far.</summary>
    public long Sequence { get; private set; }

    public void Allocated(ulong address, SlabTrack track)
    {
        lock (_lock)
        {
            _entries.TryGetValue(address, out Entry entry);
            entry.Allocated = track with { Sequence = ++Sequence };
            _entries[address] = entry;
        }
    }

    /// <summary>Adds to the last allocation of an object what was asked for; nothing happens where none is tracked.</summary>
    public void Requested(ulong address, int bytes)
    {
        lock (_lock)
        {
            if (_entries.TryGetValue(address, out Entry entry) && entry.Allocated is { } track)
            {
                entry.Allocated = track with { RequestedBytes = bytes };
                _entries[address] = entry;
            }
        }
    }

    public void Freed(ulong address, SlabTrack track)
    {
        lock (_lock)
        {
            _entries.TryGetValue(address, out Entry entry);
            entry.Freed = track with { Sequence = ++Sequence };
            _entries[address] = entry;
        }
    }

    public void Remove(ulong address)
    {
        lock (_lock)
        {
            _entries.Remove(address);
        }
    }

    public SlabTrack? AllocationOf(ulong address) => Of(address).Allocated;

    public SlabTrack? FreeOf(ulong address) => Of(address).Freed;

    private Entry Of(ulong address)
    {
        lock (_lock)
        {
            return _entries.GetValueOrDefault(address);
        }
    }

    private struct Entry
    {
        public SlabTrack? Allocated;
        public SlabTrack? Freed;
    }
}
