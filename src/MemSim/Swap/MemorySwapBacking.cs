namespace MemSim.Swap;

/// <summary>Swap in the memory of the host, taken as it is written: a RAM disk (<c>brd</c>, <c>zram</c>) when it is synchronous.</summary>
internal sealed class MemorySwapBacking : ISwapBacking
{
    private const int ChunkShift = 4;
    private readonly byte[]?[] _chunks;

    public MemorySwapBacking(string name, long pages, bool solidState = true, bool synchronous = false)
    {
        Name = name;
        Pages = pages;
        IsSolidState = solidState;
        IsSynchronous = synchronous;
        _chunks = new byte[]?[(pages + (1 << ChunkShift) - 1) >> ChunkShift];
    }

    public string Name { get; }

    public bool IsFile => false;

    public long Pages { get; }

    public bool IsSolidState { get; }

    public bool IsSynchronous { get; }

    public bool HoldsWrites { get; set; }

    /// <summary>Makes reads fail from now on.</summary>
    public bool FailsReads { get; set; }

    /// <summary>Makes writes fail from now on.</summary>
    public bool FailsWrites { get; set; }

    public long SlotsDiscarded { get; private set; }

    public Errno Check() => FailsReads ? Errno.EIO : Errno.None;

    public Errno Read(Cpu cpu, long slot, int pfn)
    {
        if (FailsReads)
        {
            return Errno.EIO;
        }

        if (cpu.Machine.Ram.HasContents)
        {
            Span<byte> frame = cpu.Machine.Ram.Frame(pfn);
            if (_chunks[slot >> ChunkShift] is { } chunk)
            {
                Slot(chunk, slot).CopyTo(frame);
            }
            else
            {
                frame.Clear();
            }
        }

        return Errno.None;
    }

    public Errno Write(Cpu cpu, long slot, int pfn)
    {
        if (FailsWrites)
        {
            return Errno.EIO;
        }

        if (cpu.Machine.Ram.HasContents)
        {
            byte[] chunk = _chunks[slot >> ChunkShift] ??= new byte[PageGeometry.PageSize << ChunkShift];
            cpu.Machine.Ram.ReadOnly((ulong)(uint)pfn << PageGeometry.PageShift, PageGeometry.PageSize).CopyTo(Slot(chunk, slot));
        }

        return Errno.None;
    }

    public void Discard(long slot, long count)
    {
        SlotsDiscarded += count;
        for (long i = slot; i < slot + count; i++)
        {
            if (_chunks[i >> ChunkShift] is { } chunk)
            {
                Slot(chunk, i).Clear();
            }
        }
    }

    public void Dispose() => Array.Clear(_chunks);

    private static Span<byte> Slot(byte[] chunk, long slot) =>
        chunk.AsSpan((int)(slot & ((1 << ChunkShift) - 1)) << PageGeometry.PageShift, PageGeometry.PageSize);
}
