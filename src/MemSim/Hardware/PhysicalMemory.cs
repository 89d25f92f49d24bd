using System.Buffers;
using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <summary>The contents of RAM: one reserved range of host address space, of which the host backs 2 MiB at a time when something is first written.</summary>
/// <remarks>
/// A frame's host address is the start plus its physical address: one bounds check, no table. Everything that reads or writes contents goes through here.
/// Where the host has no address space to spare (a browser), <see cref="HostMemory.Plain"/>, there is no such range and contents live in pieces.
/// </remarks>
internal sealed unsafe partial class PhysicalMemory
{
    private const int ChunkShift = 21;
    private const nuint ChunkBytes = (nuint)1 << ChunkShift;
    private const int PieceBytes = 128;

    private readonly byte[] _touched = [];
    private readonly HostRange? _reservation;
    // Where address 0 lies in it.
    private readonly nuint _offset;
    private byte* _base;
    // A word of the largest kind may begin at each address below this one; 0 where contents lie in pieces or nowhere.
    private ulong _words;
    private bool _lent;
    private int _collectionsLeft = 2;

    /// <summary>Prepares RAM.</summary>
    /// <param name="frames">Frame numbers from 0.</param>
    /// <param name="hasContents">Whether contents are simulated; without, writes are forgotten and reads refused.</param>
    /// <exception cref="InvalidOperationException">The host has not that much address space.</exception>
    /// <param name="host">How memory is taken from the host.</param>
    public PhysicalMemory(long frames, bool hasContents, HostMemory host)
    {
        HasContents = hasContents;
        Host = host;
        if (!hasContents)
        {
            GC.SuppressFinalize(this);
            return;
        }

        Bytes = (ulong)frames << PageGeometry.PageShift;
        _touched = new byte[(Bytes + ChunkBytes - 1) >> ChunkShift];
        if (host == HostMemory.Plain)
        {
            _pieces = new nint[(Bytes + PieceOfRam - 1) >> PieceOfRamShift];
            return;
        }

        // In range: the part from the first whole chunk on is as long as the contents, because a chunk more was reserved.
        nuint reserved = ((nuint)_touched.Length + 1) << ChunkShift;
        _reservation = Reserve(reserved, host).Owned();
        _offset = (nuint)(-(nint)_reservation.Start) & (ChunkBytes - 1);
        _base = _reservation.Start + _offset;
        Debug.Assert((nuint)_base % ChunkBytes == 0 && _offset + Bytes <= reserved, "chunks of the host's, and room for all contents");
        _words = Bytes - (sizeof(ulong) - 1);
        _reservation.PreferHugePages(_offset, (nuint)Bytes);
    }

    /// <summary>How memory is taken from the host: for the contents, and for the machine's own tables.</summary>
    public HostMemory Host { get; }

    /// <summary>Gives the memory back once nothing can reach it any more.</summary>
    /// <remarks>
    /// A span that was lent says nothing to the collector of the memory it is of, and may lie on some stack for ever: then the address range stays the process's, without
    /// contents once the machine is disposed. Otherwise it goes some collections later, so that an access whose last reference to the machine was its own is over.
    /// </remarks>
    ~PhysicalMemory()
    {
        if (_lent)
        {
            return;
        }

        if (_collectionsLeft-- > 0)
        {
            GC.ReRegisterForFinalize(this);
            return;
        }

        Release();
    }

    public bool HasContents { get; }

    /// <summary>Physical addresses below this one have contents; 0 on a machine without contents.</summary>
    public ulong Bytes { get; }

    /// <summary>Host memory taken for contents, in bytes.</summary>
    public long TouchedBytes
    {
        get
        {
            long bytes = 0;
            foreach (byte touched in _touched)
            {
                bytes += touched != 0 ? (long)ChunkBytes : 0;
            }

            return bytes;
        }
    }

    /// <summary>The bytes of one frame, for writing.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents.</exception>
    public Span<byte> Frame(long pfn) => Range((ulong)pfn << PageGeometry.PageShift, PageGeometry.PageSize);

    /// <summary>Bytes at a physical address, for writing.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents.</exception>
    public Span<byte> Range(ulong address, int bytes)
    {
        CheckRange(address, (uint)bytes);
        Touch(address, (uint)bytes);
        return new Span<byte>(_base != null ? _base + address : PieceForWriting(address, (uint)bytes), bytes);
    }

    /// <summary>As <see cref="Range"/>, for callers outside the library: their span stays valid memory whatever becomes of the machine.</summary>
    public Span<byte> Lend(ulong address, int bytes)
    {
        _lent = true;
        return Range(address, bytes);
    }

    /// <summary>A handle to a lent byte, for code that wants its address.</summary>
    /// <param name="lent">What <see cref="Lend"/> gave.</param>
    /// <param name="index">The number of the byte in it, or the length for the place behind the last.</param>
    /// <param name="owner">Whom the handle tells when it is disposed.</param>
    public static MemoryHandle Pin(Span<byte> lent, int index, IPinnable owner)
    {
        Debug.Assert((uint)index <= (uint)lent.Length, "a byte of the range, or the place behind it");

        // RAM is not the collector's and never moves; what was lent stays valid memory for ever.
        fixed (byte* start = lent)
        {
            return new MemoryHandle(start + index, pinnable: owner);
        }
    }

    /// <summary>Bytes at a physical address, for reading: memory never written reads as zero and takes no host memory.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents.</exception>
    public ReadOnlySpan<byte> ReadOnly(ulong address, int bytes)
    {
        CheckRange(address, (uint)bytes);
        return new ReadOnlySpan<byte>(_base != null ? _base + address : PieceForReading(address, (uint)bytes), bytes);
    }

    /// <summary>Reads a value at a physical address.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Read<T>(ulong address)
        where T : unmanaged
    {
        // In range: seven bytes more than the word's first belong to memory, and address 0 lies at start, which another thread's Discard may have taken meanwhile.
        byte* start = _base;
        if (sizeof(T) > sizeof(ulong) || address >= _words || start == null)
        {
            return ReadElsewhere<T>(address);
        }

        T value = Unsafe.ReadUnaligned<T>(start + address);
        GC.KeepAlive(this);
        return value;
    }

    /// <summary>The last bytes of memory, memory in pieces, or none.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private T ReadElsewhere<T>(ulong address)
        where T : unmanaged
    {
        // In range: address + size <= Bytes; Bytes is 0 or at least a page, and every type here is smaller than that.
        if (Bytes == 0 || address > Bytes - (uint)sizeof(T))
        {
            ThrowOutside(address);
        }

        T value = Unsafe.ReadUnaligned<T>(_base != null ? _base + address : PieceForReading(address, (uint)sizeof(T)));
        GC.KeepAlive(this);
        return value;
    }

    /// <summary>All of memory as one range, for who reads several words of it one after the other; empty where contents lie in pieces.</summary>
    public WholeMemory Whole
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(_base, _base != null ? Bytes : 0);
    }

    /// <summary>Memory from address 0 on, as long as the machine lives: its owner keeps it alive while this is used.</summary>
    internal readonly ref struct WholeMemory(byte* start, ulong bytes)
    {
        private readonly byte* _start = start;

        /// <summary>Addresses below this one can be read.</summary>
        public readonly ulong Bytes = bytes;

        /// <summary>Reads an aligned value at an address that the caller has compared with <see cref="Bytes"/>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Read<T>(ulong address)
            where T : unmanaged
        {
            // In range: an aligned address below Bytes, which is a multiple of every size read here.
            Debug.Assert(address < Bytes && address % (uint)sizeof(T) == 0, "an aligned address inside memory");
            return Unsafe.ReadUnaligned<T>(_start + address);
        }
    }

    /// <summary>Reads an aligned value at a physical address that the caller has compared with <see cref="Bytes"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T ReadInside<T>(ulong address)
        where T : unmanaged
    {
        // In range: an aligned address below Bytes, which is a multiple of every size read here.
        Debug.Assert(address < Bytes && address % (uint)sizeof(T) == 0, "an aligned address inside memory");
        T value = Unsafe.ReadUnaligned<T>(_base != null ? _base + address : PieceForReading(address, (uint)sizeof(T)));
        GC.KeepAlive(this);
        return value;
    }

    /// <summary>Writes a value at a physical address.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Write<T>(ulong address, T value)
        where T : unmanaged
    {
        // In range: as in Read.
        byte* start = _base;
        if (sizeof(T) > sizeof(ulong) || address >= _words || start == null)
        {
            WriteElsewhere(address, value);
            return;
        }

        // Callers write within a page, hence within one chunk. The number fits: the address is that of memory.
        ref byte touched = ref _touched[(uint)(address >> ChunkShift)];
        if (touched != Written)
        {
            touched = Written;
        }

        Unsafe.WriteUnaligned(start + address, value);
    }

    /// <summary>The last bytes of memory, memory in pieces, or none.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WriteElsewhere<T>(ulong address, T value)
        where T : unmanaged
    {
        if (Bytes == 0 || address > Bytes - (uint)sizeof(T))
        {
            ThrowOutside(address);
        }

        _touched[(uint)(address >> ChunkShift)] = Written;
        Unsafe.WriteUnaligned(_base != null ? _base + address : PieceForWriting(address, (uint)sizeof(T)), value);
    }

    /// <summary>Replaces an aligned value if it is still what the caller saw, in one step for all host threads.</summary>
    /// <returns>What was there: what the caller saw when the value is replaced.</returns>
    public ulong CompareExchange(ulong address, ulong value, ulong seen, bool wide)
    {
        int bytes = wide ? sizeof(ulong) : sizeof(uint);
        if (Bytes == 0 || address > Bytes - (uint)bytes)
        {
            ThrowOutside(address);
        }

        Debug.Assert(address % (uint)bytes == 0, "an aligned address");
        _touched[address >> ChunkShift] = Written;
        byte* at = _base != null ? _base + address : PieceForWriting(address, (uint)bytes);
        return wide ? Interlocked.CompareExchange(ref *(ulong*)at, value, seen) : Interlocked.CompareExchange(ref *(uint*)at, (uint)value, (uint)seen);
    }

    /// <summary>Fills a frame with zeroes; one never written is zero already.</summary>
    public void ZeroFrame(long pfn)
    {
        ulong address = (ulong)pfn << PageGeometry.PageShift;
        if (address > Bytes - PageGeometry.PageSize || _base == null)
        {
            Zero(pfn, 1);
            return;
        }

        // In range: memory has at least a page, and whole ones.
        ref byte touched = ref _touched[address >> ChunkShift];
        if (touched != 0)
        {
            touched = Written;
            Clear(_base + address, _base + address + PageGeometry.PageSize);
        }
    }

    /// <summary>Fills frames with zeroes; frames never written are zero already.</summary>
    public void Zero(long pfn, long pages)
    {
        ulong address = (ulong)pfn << PageGeometry.PageShift;
        ulong end = address + ((ulong)pages << PageGeometry.PageShift);
        if (!HasContents)
        {
            return;
        }

        CheckRange(address, end - address);
        while (address < end)
        {
            ulong chunkEnd = Math.Min(end, (address | (ChunkBytes - 1)) + 1);
            if (_touched[address >> ChunkShift] != 0)
            {
                _touched[address >> ChunkShift] = Written;
                byte* at = _base != null ? _base + address : PieceForWriting(address, chunkEnd - address);
                Clear(at, at + (chunkEnd - address));
            }

            address = chunkEnd;
        }
    }

    /// <summary>Copies whole frames; what was never written takes no host memory afterwards either.</summary>
    public void CopyFrames(long from, long to, long pages)
    {
        if (!HasContents)
        {
            return;
        }

        ulong bytes = (ulong)pages << PageGeometry.PageShift;
        CheckRange((ulong)from << PageGeometry.PageShift, bytes);
        CheckRange((ulong)to << PageGeometry.PageShift, bytes);
        for (long i = 0; i < pages; i++)
        {
            if (IsTouched(from + i))
            {
                CopyFrame(from + i, to + i);
            }
            else
            {
                Zero(to + i, 1);
            }
        }
    }

    /// <summary>Copies the bytes of a frame to another one.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents.</exception>
    public void CopyFrame(long from, long to)
    {
        ReadOnlySpan<byte> source = ReadOnly((ulong)from << PageGeometry.PageShift, PageGeometry.PageSize);
        CopyPieces(source, Frame(to));
    }

    /// <summary>Copies bytes, up to about a page of them in vector stores in line: the C library's string instructions take longer to start than to copy so few.</summary>
    public static void Copy(ReadOnlySpan<byte> source, Span<byte> target)
    {
        if (source.Length is < 4 * PieceBytes or > PageGeometry.PageSize || source.Overlaps(target))
        {
            source.CopyTo(target);
        }
        else
        {
            CopyPieces(source, target);
        }
    }

    private static void CopyPieces(ReadOnlySpan<byte> source, Span<byte> target)
    {
        int at = 0;
        for (; at <= source.Length - PieceBytes; at += PieceBytes)
        {
            source.Slice(at, PieceBytes).CopyTo(target.Slice(at, PieceBytes));
        }

        source[at..].CopyTo(target[at..]);
    }

    /// <summary>Whether a frame's chunk was ever written.</summary>
    public bool IsTouched(long pfn) => HasContents && _touched[pfn >> (ChunkShift - PageGeometry.PageShift)] != 0;

    /// <summary>Copies all contents of another machine's RAM of the same size.</summary>
    public void CopyFrom(PhysicalMemory other)
    {
        for (int i = 0; i < Math.Min(_touched.Length, other._touched.Length); i++)
        {
            if (other._touched[i] != 0)
            {
                ulong start = (ulong)i << ChunkShift;
                nuint bytes = (nuint)Math.Min(ChunkBytes, Math.Min(Bytes, other.Bytes) - start);
                other.ReadOnly(start, (int)bytes).CopyTo(Range(start, (int)bytes));
            }
        }
    }

    /// <summary>Gives the host memory back but keeps the address space: contents read as zero.</summary>
    public void Discard()
    {
        if (_reservation is { IsMapped: true } && _base != null)
        {
            LeaveFiles();
            _reservation.Discard();
            Array.Clear(_touched);
        }

        if (_lent)
        {
            ClearPieces();
        }
        else
        {
            FreePieces();
        }
    }

    /// <summary>Fills whole pages with zeroes.</summary>
    /// <remarks>In pieces of a fixed size, which are vector stores in line: what the C library does with a page (string instructions) takes half as long again.</remarks>
    private static void Clear(byte* at, byte* end)
    {
        // In range: the caller has checked the range, and pages are a multiple of a piece.
        for (; at < end; at += PieceBytes)
        {
            new Span<byte>(at, PieceBytes).Clear();
        }
    }

    private void CheckRange(ulong address, ulong bytes)
    {
        if (address > Bytes || bytes > Bytes - address)
        {
            ThrowOutside(address);
        }
    }

    private void Touch(ulong address, ulong bytes)
    {
        for (ulong chunk = address >> ChunkShift; bytes != 0 && chunk <= (address + bytes - 1) >> ChunkShift; chunk++)
        {
            _touched[chunk] = Written;
        }
    }

    private void ThrowOutside(ulong address)
    {
        if (!HasContents)
        {
            throw new InvalidOperationException("this machine was booted without contents of RAM (MachineSpec.WithoutContents): there is nothing to read, write or keep page tables in");
        }

        throw new ArgumentOutOfRangeException(nameof(address), $"physical address 0x{address:x} is beyond the machine's memory (0x{Bytes:x})");
    }

    private static HostRange Reserve(nuint bytes, HostMemory host) => host != HostMemory.Mapped
        ? HostRange.Take((long)bytes, host, "contents of RAM")
        : HostRange.TryMap(bytes) ?? throw new InvalidOperationException($"the host refuses {bytes >> 20} MiB of address space for the contents of RAM; MachineSpec.WithoutContents() needs none");

    private void Release()
    {
        FreePieces();
        _base = null;
        _words = 0;
        _reservation?.Release();
    }
}
