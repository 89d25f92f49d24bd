namespace MemSim.Recordings.Replay;

/// <summary>Counts a recording's events by name.</summary>
internal sealed class TraceEventCounts
{
    private readonly SortedDictionary<string, long> _byName = new(StringComparer.Ordinal);

    // Of each kind the name seen last: one kind has one name in one recording, which the reader hands out as the same object.
    private readonly (string? Name, long Count)[] _last = new (string?, long)[(int)TraceEventKind.KmemCacheFree + 1];

    /// <summary>The counts, in the names' order.</summary>
    public IReadOnlyDictionary<string, long> ByName
    {
        get
        {
            foreach (ref (string? Name, long Count) last in _last.AsSpan())
            {
                PutAway(ref last);
            }

            return _byName;
        }
    }

    public void Add(in TraceEvent e)
    {
        ref (string? Name, long Count) last = ref _last[(int)e.Kind];
        if (!ReferenceEquals(last.Name, e.EventName))
        {
            PutAway(ref last);
            last.Name = e.EventName;
        }

        last.Count++;
    }

    private void PutAway(ref (string? Name, long Count) last)
    {
        if (last.Name is { } name && last.Count != 0)
        {
            _byName[name] = _byName.GetValueOrDefault(name) + last.Count;
            last.Count = 0;
        }
    }
}
