using System.Runtime.InteropServices;

namespace MemSim.Hardware;

/// <summary>The contents of RAM, in host memory that is taken 2 MiB at a time when something is first written.</summary>
internal sealed unsafe class PhysicalMemory
{
    private const int ChunkPagesShift = 9;
    private const int ChunkPages = 1 << ChunkPagesShift;
    private const nuint ChunkBytes = (nuint)ChunkPages << PageGeometry.PageShift;

    private readonly nint[]? _chunks;
    private readonly Lock _growth = new();

    /// <summary>Prepares RAM.</summary>
    /// <param name="frames">Frame numbers from 0.</param>
    /// <param name="hasContents">Whether contents are simulated; without, writes are forgotten and reads refused.</param>
    public PhysicalMemory(long frames, bool hasContents)
    {
        _chunks = hasContents ? new nint[(frames + ChunkPages - 1) >> ChunkPagesShift] : null;
    }

    /// <summary>Gives the chunks back once nothing can reach them any more.</summary>
    ~PhysicalMemory() => Release();

    public bool HasContents => _chunks is not null;

    /// <summary>Host memory taken for contents, in bytes.</summary>
    public long TouchedBytes
    {
        get
        {
            long bytes = 0;
            foreach (nint chunk in _chunks ?? [])
            {
                bytes += chunk != 0 ? (long)ChunkBytes : 0;
            }

            return bytes;
        }
    }

    /// <summary>The bytes of one frame, for writing.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents.</exception>
    public Span<byte> Frame(long pfn)
    {
        nint[] chunks = _chunks ?? throw new InvalidOperationException("this machine was booted without contents of RAM (MachineSpec.WithoutContents)");
        nint chunk = Volatile.Read(ref chunks[pfn >> ChunkPagesShift]);
        if (chunk == 0)
        {
            chunk = Grow(chunks, pfn >> ChunkPagesShift);
        }

        // In range: the array access above checked the chunk, and the offset is below its size.
        return new Span<byte>((byte*)chunk + ((pfn & (ChunkPages - 1)) << PageGeometry.PageShift), PageGeometry.PageSize);
    }

    /// <summary>Fills frames with zeroes; frames never written are zero already.</summary>
    public void Zero(long pfn, long pages)
    {
        if (_chunks is not { } chunks)
        {
            return;
        }

        long end = pfn + pages;
        while (pfn < end)
        {
            long inChunk = Math.Min(end - pfn, ChunkPages - (pfn & (ChunkPages - 1)));
            nint chunk = Volatile.Read(ref chunks[pfn >> ChunkPagesShift]);
            if (chunk != 0)
            {
                NativeMemory.Clear((byte*)chunk + ((pfn & (ChunkPages - 1)) << PageGeometry.PageShift), (nuint)inChunk << PageGeometry.PageShift);
            }

            pfn += inChunk;
        }
    }

    /// <summary>Whether a frame's chunk was ever written.</summary>
    public bool IsTouched(long pfn) => _chunks is { } chunks && Volatile.Read(ref chunks[pfn >> ChunkPagesShift]) != 0;

    /// <summary>Copies all contents of another machine's RAM of the same size.</summary>
    public void CopyFrom(PhysicalMemory other)
    {
        if (_chunks is null || other._chunks is null)
        {
            return;
        }

        for (int i = 0; i < Math.Min(_chunks.Length, other._chunks.Length); i++)
        {
            if (other._chunks[i] != 0)
            {
                nint own = _chunks[i] != 0 ? _chunks[i] : Grow(_chunks, i);
                NativeMemory.Copy((void*)other._chunks[i], (void*)own, ChunkBytes);
            }
        }
    }


    private nint Grow(nint[] chunks, long index)
    {
        lock (_growth)
        {
            if (chunks[index] == 0)
            {
                Volatile.Write(ref chunks[index], (nint)NativeMemory.AllocZeroed(ChunkBytes));
            }

            return chunks[index];
        }
    }

    private void Release()
    {
        foreach (nint chunk in _chunks ?? [])
        {
            NativeMemory.Free((void*)chunk);
        }
    }
}
