namespace MemSim.BlockDevices;

/// <summary>Where the bytes of a block device are.</summary>
internal interface IBlockStore : IDisposable
{
    /// <summary>Whether it keeps what is written in the machine's own memory: then it is asked even where contents are not simulated.</summary>
    bool TakesMemory => false;

    /// <summary>Reads a page; what was never written is zero.</summary>
    Errno Read(Cpu cpu, long page, Span<byte> into);

    /// <summary>Writes a page.</summary>
    Errno Write(Cpu cpu, long page, ReadOnlySpan<byte> from);

    /// <summary>Nobody needs a page of swap any more (<c>swap_slot_free_notify()</c>).</summary>
    void SlotFreed(Cpu cpu, long page)
    {
    }

    /// <summary>Forgets pages: they read as zero.</summary>
    void Discard(long page, long count);

    /// <summary>Makes what was written durable.</summary>
    void Flush();
}

/// <summary>A piece of a disk in host memory. One that a snapshot holds is shared by all machines made of it, and nobody writes to it any more.</summary>
internal sealed class BlockChunk(byte[] bytes)
{
    public byte[] Bytes { get; } = bytes;

    /// <summary>Whether a snapshot holds it: then who writes makes a copy first.</summary>
    public bool IsFrozen { get; private set; }

    public void Freeze() => IsFrozen = true;
}

/// <summary>Keeps what was written in host memory, 64 KiB at a time.</summary>
internal sealed class SparseBlockStore : IBlockStore
{
    private const int ChunkPages = 16;

    /// <summary>Bytes in a chunk.</summary>
    public const int ChunkBytes = ChunkPages << PageGeometry.PageShift;

    private readonly Dictionary<long, BlockChunk> _chunks = [];

    public Errno Read(Cpu cpu, long page, Span<byte> into)
    {
        if (_chunks.TryGetValue(page / ChunkPages, out BlockChunk? chunk))
        {
            In(chunk, page).CopyTo(into);
        }
        else
        {
            into.Clear();
        }

        return Errno.None;
    }

    public Errno Write(Cpu cpu, long page, ReadOnlySpan<byte> from)
    {
        if (!_chunks.TryGetValue(page / ChunkPages, out BlockChunk? chunk))
        {
            chunk = new BlockChunk(new byte[ChunkBytes]);
            _chunks.Add(page / ChunkPages, chunk);
        }

        from.CopyTo(In(Own(page, chunk), page));
        return Errno.None;
    }

    public void Discard(long page, long count)
    {
        for (long i = page; i < page + count; i++)
        {
            if (_chunks.TryGetValue(i / ChunkPages, out BlockChunk? chunk))
            {
                In(Own(i, chunk), i).Clear();
            }
        }
    }

    public void Flush()
    {
    }

    public void Dispose() => _chunks.Clear();

    private static Span<byte> In(BlockChunk chunk, long page) => chunk.Bytes.AsSpan((int)(page % ChunkPages) << PageGeometry.PageShift, PageGeometry.PageSize);

    /// <summary>A chunk that may be written to, in the place of the one that is there.</summary>
    private BlockChunk Own(long page, BlockChunk chunk)
    {
        if (!chunk.IsFrozen)
        {
            return chunk;
        }

        BlockChunk own = new([.. chunk.Bytes]);
        _chunks[page / ChunkPages] = own;
        return own;
    }
}

/// <summary>A file of the host. It never grows: what a device writes behind its end is dropped, what it reads there is zero.</summary>
internal sealed class HostFileStore : IBlockStore
{
    private readonly Microsoft.Win32.SafeHandles.SafeFileHandle _handle;
    private readonly bool _readOnly;

    public HostFileStore(string path, bool readOnly)
    {
        _readOnly = readOnly;
        _handle = File.OpenHandle(path, FileMode.Open, readOnly ? FileAccess.Read : FileAccess.ReadWrite, FileShare.Read);
        Length = RandomAccess.GetLength(_handle);
    }

    /// <summary>Bytes of the file when it was opened.</summary>
    public long Length { get; }

    public Errno Read(Cpu cpu, long page, Span<byte> into)
    {
        long offset = page << PageGeometry.PageShift;
        int done = 0;
        while (done < into.Length && offset + done < Length)
        {
            int read = RandomAccess.Read(_handle, into[done..], offset + done);
            if (read == 0)
            {
                break;
            }

            done += read;
        }

        into[done..].Clear();
        return Errno.None;
    }

    public Errno Write(Cpu cpu, long page, ReadOnlySpan<byte> from)
    {
        Write(page, from);
        return Errno.None;
    }

    private void Write(long page, ReadOnlySpan<byte> from)
    {
        long offset = page << PageGeometry.PageShift;
        if (offset < Length)
        {
            RandomAccess.Write(_handle, from[..(int)Math.Min(from.Length, Length - offset)], offset);
        }
    }

    public void Discard(long page, long count)
    {
        Span<byte> zeroes = stackalloc byte[PageGeometry.PageSize];
        zeroes.Clear();
        for (long i = 0; i < count; i++)
        {
            Write(page + i, zeroes);
        }
    }

    public void Flush()
    {
        if (!_readOnly)
        {
            RandomAccess.FlushToDisk(_handle);
        }
    }

    public void Dispose() => _handle.Dispose();
}
