namespace MemSim.Lru;

/// <summary>Page tables worth a look: those in which enough entries had been used. It may name one too many, never one too few.</summary>
/// <remarks>2^15 bits, two for each member, as in the kernel; a filter that was not made yet names all.</remarks>
internal sealed class BloomFilter
{
    private const int Shift = 15;
    private ulong[]? _bits;

    /// <summary>Empties it; it names nothing until something is added.</summary>
    public void Reset()
    {
        if (_bits is null)
        {
            _bits = new ulong[1 << (Shift - 6)];
        }
        else
        {
            Array.Clear(_bits);
        }
    }

    /// <summary>Whether a table may be a member.</summary>
    public bool MayHave(ulong table)
    {
        if (_bits is not { } bits)
        {
            return true;
        }

        (int first, int second) = Keys(table);
        return (bits[first >> 6] >> (first & 63) & bits[second >> 6] >> (second & 63) & 1) != 0;
    }

    /// <summary>Adds a table; nothing happens before the first <see cref="Reset"/>.</summary>
    public void Add(ulong table)
    {
        if (_bits is { } bits)
        {
            (int first, int second) = Keys(table);
            bits[first >> 6] |= 1UL << (first & 63);
            bits[second >> 6] |= 1UL << (second & 63);
        }
    }

    private static (int First, int Second) Keys(ulong table)
    {
        // The golden ratio of 64 bits spreads neighbouring tables; its upper bits are the best mixed.
        ulong hash = (table * 0x61C8864680B583EBUL) >> (64 - (2 * Shift));
        return ((int)(hash & ((1 << Shift) - 1)), (int)(hash >> Shift));
    }
}
