using System.Buffers.Binary;
using MemSim.Pages;

namespace MemSim;

/// <summary>Idle page tracking: the file <c>/sys/kernel/mm/page_idle/bitmap</c>, with which a program finds out which memory is in use and which is not (<c>CONFIG_IDLE_PAGE_TRACKING</c>, 4.3; Debian's kernels are built without).</summary>
/// <remarks>
/// One marks pages idle, waits, and reads which ones still are. A page is in use again when a process reads or writes it, which is found out from page tables when the file is
/// read or reclaim looks, or when a file is read through a descriptor. Only pages on LRU lists are looked at, and of large pages only the first. TLBs are not flushed: a CPU that has
/// the translation uses the page without a trace, as with the kernel. Nor are accesses noted that the multi-generational LRU sees first, or reads of files while it is on.
/// <see cref="PageFlags.Idle"/> and <see cref="PageFlags.Young"/> show the two flags of a page.
/// </remarks>
public sealed class IdlePageTracking
{
    private const int ChunkBytes = 8;
    private const int ChunkBits = 64;

    private readonly Machine _machine;

    internal IdlePageTracking(Machine machine) => _machine = machine;

    /// <summary>Whether the kernel has it (<see cref="IdlePageTrackingSpec.WithIdlePageTracking"/>).</summary>
    public bool IsSupported => _machine.Lru.Idle is not null;

    /// <summary>Reads which pages are idle, a bit each: page 0 is the lowest bit of the first eight bytes, which are a little-endian number.</summary>
    /// <param name="cpu">The CPU that reads.</param>
    /// <param name="position">Where in the file, in bytes: a multiple of 8.</param>
    /// <param name="buffer">Receives the bits; its length is a multiple of 8.</param>
    /// <returns>How many bytes were read: 0 behind the last page, and for the last eight where memory does not end at a multiple of 64 pages, though the bits are there. EINVAL for other positions and lengths, ENOENT without idle page tracking.</returns>
    public Result<int> Read(Cpu cpu, long position, Span<byte> buffer)
    {
        Errno error = Check(ref cpu, position, buffer.Length);
        if (error != Errno.None)
        {
            return error;
        }

        (long start, long end) = RangeOf(position, buffer.Length);
        for (long first = start; first < end; first += ChunkBits)
        {
            ulong chunk = 0;
            for (int bit = 0; bit < ChunkBits && first + bit < end; bit++)
            {
                chunk |= IsIdle(cpu, (int)first + bit) ? 1UL << bit : 0;
            }

            BinaryPrimitives.WriteUInt64LittleEndian(buffer[BytesOf(first - start)..], chunk);
        }

        return BytesOf(end - start);
    }

    /// <summary>Marks pages idle: those whose bit is set, the others stay as they are. Pages that are on no LRU list are passed over in silence.</summary>
    /// <param name="cpu">The CPU that writes.</param>
    /// <param name="position">Where in the file, in bytes: a multiple of 8.</param>
    /// <param name="buffer">The bits, as in <see cref="Read"/>.</param>
    /// <returns>How many bytes were written, counted as in <see cref="Read"/>. EINVAL for other positions and lengths, ENXIO behind the last page, ENOENT without idle page tracking.</returns>
    public Result<int> Write(Cpu cpu, long position, ReadOnlySpan<byte> buffer)
    {
        Errno error = Check(ref cpu, position, buffer.Length);
        if (error != Errno.None)
        {
            return error;
        }

        (long start, long end) = RangeOf(position, buffer.Length);
        if (start >= end && buffer.Length != 0)
        {
            return Errno.ENXIO;
        }

        for (long pfn = start; pfn < end; pfn++)
        {
            if ((BinaryPrimitives.ReadUInt64LittleEndian(buffer[BytesOf(pfn - start)..]) >> (int)(pfn % ChunkBits) & 1) != 0)
            {
                MarkIdle(cpu, (int)pfn);
            }
        }

        return BytesOf(end - start);
    }

    /// <summary>The bytes of whole chunks: the pages behind the last one are looked at and marked, but nobody counts their bytes.</summary>
    private static int BytesOf(long pages) => (int)(pages / ChunkBits) * ChunkBytes;

    private Errno Check(ref Cpu cpu, long position, int length)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _machine.ThrowIfDisposed();
        cpu = _machine.CpuTable.Own(cpu);
        return !IsSupported ? Errno.ENOENT : position < 0 || (position | (uint)length) % ChunkBytes != 0 ? Errno.EINVAL : Errno.None;
    }

    /// <summary>The pages whose bits lie there, up to the last one that there is (<c>max_pfn</c>).</summary>
    private (long Start, long End) RangeOf(long position, int length)
    {
        long last = 0;
        foreach (Zone zone in _machine.ZoneTable.Zones)
        {
            last = zone.IsPopulated ? Math.Max(last, zone.EndPfn.Value) : last;
        }

        long start = position > last ? last : Math.Min(position * 8, last);
        return (start, Math.Min(start + (length * 8L), last));
    }

    private bool IsIdle(Cpu cpu, int pfn)
    {
        if (!TryGet(pfn))
        {
            return false;
        }

        IdlePages idle = _machine.Lru.Idle!;
        if (idle.IsIdle(pfn))
        {
            _machine.Lru.Owners.ClearIdleReferences(cpu, pfn);
        }

        bool stays = idle.IsIdle(pfn);
        _machine.Lru.Put(cpu, pfn);
        return stays;
    }

    private void MarkIdle(Cpu cpu, int pfn)
    {
        if (TryGet(pfn))
        {
            _machine.Lru.Owners.ClearIdleReferences(cpu, pfn);
            _machine.Lru.Idle!.MarkIdle(pfn);
            _machine.Lru.Put(cpu, pfn);
        }
    }

    /// <summary>Takes a reference to a page on a list (<c>page_idle_get_folio()</c>).</summary>
    private bool TryGet(int pfn)
    {
        ref PageFrame frame = ref _machine.Frames.Array.Named(pfn);
        return frame.IsOnLru && frame.IsInUse && _machine.Lru.TryGet(pfn);
    }
}
