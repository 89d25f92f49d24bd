namespace MemSim.Recordings.Replay;

/// <summary>A value for each frame that a recording names, found without hashing: as large as the machine that made the recording, not as the recording.</summary>
internal sealed class FrameMap<T>
    where T : struct
{
    private const int PartBits = 9;

    private readonly T _absent;
    private T[]?[] _parts = [];

    /// <summary>The value at -1, which recordings have where they mean no frame.</summary>
    private T _ofNone;

    /// <param name="absent">The value of all frames that have been given none.</param>
    public FrameMap(T absent) => _absent = _ofNone = absent;

    /// <summary>The value of a frame, or of -1.</summary>
    public T this[int pfn]
    {
        get
        {
            int part = pfn >> PartBits;
            return (uint)part < (uint)_parts.Length ? _parts[part] is { } values ? values[pfn & ((1 << PartBits) - 1)] : _absent
                : pfn < 0 ? _ofNone : _absent;
        }
        set => At(pfn) = value;
    }

    /// <summary>Where the value of a frame, or of -1, is kept.</summary>
    public ref T At(int pfn)
    {
        if (pfn < 0)
        {
            return ref _ofNone;
        }

        int part = pfn >> PartBits;
        if (part >= _parts.Length)
        {
            Array.Resize(ref _parts, Math.Max(part + 1, 2 * _parts.Length));
        }

        T[]? values = _parts[part];
        if (values is null)
        {
            _parts[part] = values = new T[1 << PartBits];
            Array.Fill(values, _absent);
        }

        return ref values[pfn & ((1 << PartBits) - 1)];
    }
}
