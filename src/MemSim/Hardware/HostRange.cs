using System.Diagnostics;
using System.Runtime.InteropServices;

namespace MemSim.Hardware;

/// <summary>A range of the host's memory: zeroes that the host gives page by page when they are touched. What tables indexed by numbers lie in.</summary>
/// <remarks>
/// The type that maps, allocates and frees such memory. In range by construction: start and length are what the host gave, and every part that is handed out, advised or mapped anew is
/// compared with them here. The memory goes when nobody can reach this object any more; or, where the views that were handed out may live longer (<see cref="Owned"/>), when the owner says so.
/// </remarks>
internal sealed unsafe partial class HostRange
{
    private const int ProtReadWrite = 3;
    private const int MapPrivateAnonymousNoReserve = 0x02 | 0x20 | 0x4000;
    private const int MapPrivateFixedNoReserve = 0x02 | 0x10 | 0x4000;
    private const int MapAnonymous = 0x20;
    private const int AdviseDontNeed = 4;
    private const int AdviseHugePages = 14;
    private const int AdviseNoHugePages = 15;

    private readonly nuint _bytes;
    private readonly bool _mapped;
    private byte* _start;
    private bool _owned;

    private HostRange(byte* start, nuint bytes, bool mapped)
    {
        _start = start;
        _bytes = bytes;
        _mapped = mapped;
    }

    ~HostRange()
    {
        if (!_owned)
        {
            Release();
        }
    }

    /// <summary>Whether the range is mapped: what the host has of it can be given back, and files can be mapped into it.</summary>
    public bool IsMapped => _mapped;

    /// <summary>Where it begins, for <see cref="PhysicalMemory"/>; null once it was released.</summary>
    public byte* Start => _start;

    /// <summary>The host's address of a byte of it, as the host's tables number pages.</summary>
    public nuint AddressOf(nuint offset) => (nuint)_start + offset;

    /// <summary>Takes memory as the host gives it.</summary>
    /// <param name="bytes">How much.</param>
    /// <param name="host">How memory is taken from the host.</param>
    /// <param name="what">What for, as a message says it.</param>
    /// <exception cref="InvalidOperationException">The host cannot address that much.</exception>
    public static HostRange Take(long bytes, HostMemory host, string what)
    {
        nuint size = HostMemoryChoice.Checked((bytes + 4095) & ~4095L, what);
        return (host == HostMemory.Mapped ? TryMap(size) : null) ?? new HostRange((byte*)NativeMemory.AllocZeroed(size), size, mapped: false);
    }

    /// <summary>Maps memory; null where the host has not that much address space.</summary>
    public static HostRange? TryMap(nuint bytes)
    {
        void* memory = Map(null, bytes, ProtReadWrite, MapPrivateAnonymousNoReserve, -1, 0);
        return (nint)memory != -1 ? new HostRange((byte*)memory, bytes, mapped: true) : null;
    }

    /// <summary>Leaves it to the owner to say when the memory goes, with <see cref="Release"/>.</summary>
    public HostRange Owned()
    {
        _owned = true;
        return this;
    }

    /// <summary>Gives the memory back to the host; nothing happens the second time.</summary>
    public void Release()
    {
        byte* start = _start;
        _start = null;
        if (start == null)
        {
            return;
        }

        if (_mapped)
        {
            _ = Unmap(start, _bytes);
        }
        else
        {
            NativeMemory.Free(start);
        }
    }

    /// <summary>Asks for huge pages, which save misses of the host's TLB, or for none. Only advice: a host that does not take it still works.</summary>
    public void PreferHugePages(bool huge) => Advise(0, _bytes, huge ? AdviseHugePages : AdviseNoHugePages);

    /// <summary>Asks for huge pages for a part of the range.</summary>
    public void PreferHugePages(nuint offset, nuint bytes) => Advise(offset, bytes, AdviseHugePages);

    /// <summary>Gives the memory back but keeps the addresses: it reads as zero where it is the range's own, and nothing happens where it is not mapped.</summary>
    public void Discard() => Advise(0, _bytes, AdviseDontNeed);

    /// <summary>Maps a file in place of a part of the range: what is written there stays this process's.</summary>
    /// <param name="offset">Where the part begins, in bytes.</param>
    /// <param name="bytes">How long it is.</param>
    /// <param name="file">The host's number of the file, or -1 for zeroes.</param>
    /// <param name="at">Where in the file it begins; the file is as long as what is mapped of it.</param>
    /// <returns>Whether the host did it; else nothing has changed.</returns>
    public bool TryMapInPlace(nuint offset, nuint bytes, int file, long at)
    {
        CheckPart(offset, bytes);
        return _mapped && (nint)Map(_start + offset, bytes, ProtReadWrite, MapPrivateFixedNoReserve | (file < 0 ? MapAnonymous : 0), file, (nint)at) != -1;
    }

    /// <summary>A part of the memory as a table.</summary>
    /// <param name="offset">Where it begins, in bytes: a multiple of the size that the host aligns an item to.</param>
    /// <param name="length">How many items.</param>
    /// <exception cref="ArgumentOutOfRangeException">The memory does not reach so far.</exception>
    public HostTable<T> Table<T>(long offset, long length)
        where T : unmanaged
    {
        if (offset < 0 || length < 0 || (ulong)offset > _bytes || (ulong)length > (_bytes - (ulong)offset) / (uint)sizeof(T))
        {
            throw new ArgumentOutOfRangeException(nameof(length), length, $"{length} items from byte {offset} on do not fit into {_bytes} bytes");
        }

        Debug.Assert(offset % sizeof(nint) == 0 || sizeof(T) < sizeof(nint), "items lie where the host reads them in one piece");
        return new HostTable<T>((T*)(_start + offset), length);
    }

    private void Advise(nuint offset, nuint bytes, int advice)
    {
        CheckPart(offset, bytes);
        if (_mapped && _start != null)
        {
            _ = Advise(_start + offset, bytes, advice);
        }
    }

    private void CheckPart(nuint offset, nuint bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, _bytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, _bytes - offset);
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial void* Map(void* address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Advise(void* address, nuint length, int advice);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Unmap(void* address, nuint length);
}
