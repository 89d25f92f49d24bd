namespace MemSim.CompressedMemory;

/// <summary>Compresses pages one by one, each without a look at others: the same bytes always give the same length.</summary>
/// <remarks>Written from the descriptions of the formats. .NET's own compressors are not used because their output may change with the runtime, and with it every figure.</remarks>
internal abstract class PageCompressor(string name)
{
    /// <summary>No page becomes longer than this.</summary>
    public const int LargestOutput = PageGeometry.PageSize * 2;

    /// <summary>The kernel's name.</summary>
    public string Name => name;

    /// <summary>The compressor of a name; null where there is none.</summary>
    public static PageCompressor? Find(string name) => name switch
    {
        Lz4Compressor.KernelName => new Lz4Compressor(),
        LzoCompressor.KernelName => new LzoCompressor(),
        _ => null,
    };

    /// <summary>Compresses a page.</summary>
    /// <param name="page">Its bytes.</param>
    /// <param name="into">Where to: <see cref="LargestOutput"/> bytes.</param>
    /// <returns>Bytes written.</returns>
    public abstract int Compress(ReadOnlySpan<byte> page, Span<byte> into);

    /// <summary>Undoes it. What was stored lies in simulated memory and may hold anything.</summary>
    /// <returns>False when the bytes are no page of this format; what is in <paramref name="page"/> then is undefined.</returns>
    public abstract bool TryDecompress(ReadOnlySpan<byte> from, Span<byte> page);

    /// <summary>How many bytes are equal at two places, up to an end.</summary>
    protected static int CommonLength(ReadOnlySpan<byte> page, int first, int second, int end)
    {
        int length = page[first..].CommonPrefixLength(page[second..end]);
        return Math.Min(length, end - second);
    }

    /// <summary>Copies bytes that were written already, one after the other: the source may run into the target.</summary>
    protected static bool TryRepeat(Span<byte> page, ref int at, int distance, int length)
    {
        if (distance <= 0 || distance > at || length > page.Length - at)
        {
            return false;
        }

        for (int i = 0; i < length; i++, at++)
        {
            page[at] = page[at - distance];
        }

        return true;
    }

    /// <summary>Copies bytes as they are.</summary>
    protected static bool TryCopy(ReadOnlySpan<byte> from, ref int next, Span<byte> page, ref int at, int length)
    {
        if (length < 0 || length > from.Length - next || length > page.Length - at)
        {
            return false;
        }

        from.Slice(next, length).CopyTo(page[at..]);
        next += length;
        at += length;
        return true;
    }
}
