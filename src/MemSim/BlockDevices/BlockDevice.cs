using System.Diagnostics;
using MemSim.BlockDevices;
using MemSim.Hardware;
using MemSim.Lru;

namespace MemSim;

/// <summary>A simulated disk: pages of bytes, the time they take, and the ways in which they can fail.</summary>
/// <remarks>A device belongs to the first machine that uses it. Dispose it after the machine to close a host file.</remarks>
/// <example><code>
/// var disk = new BlockDevice("sda", "1G");
/// SimFileSystem files = machine.Mount(disk);
/// </code></example>
public sealed class BlockDevice : IDisposable
{
    /// <summary>Sectors of 512 bytes in a page.</summary>
    public const int SectorsPerPage = PageGeometry.PageSize / 512;

    private readonly IBlockStore _store;
    private Machine? _user;
    private readonly List<(long First, long Count, bool Reads, bool Writes)> _bad = [];
    private long _next;
    private long _busyUntil;

    /// <summary>Creates an empty disk in host memory, which takes what is written to it.</summary>
    /// <param name="name">Its name, e.g. <c>sda</c>.</param>
    /// <param name="capacity">Its size, at least a page and at most 16 TiB; bytes that fill no page are lost.</param>
    /// <param name="costs">How long it takes; null for <see cref="BlockDeviceCosts.SolidState"/>.</param>
    public BlockDevice(string name, ByteSize capacity, BlockDeviceCosts? costs = null)
        : this(name, capacity.Pages, costs, new SparseBlockStore(), readOnly: false)
    {
    }

    internal BlockDevice(string name, long pages, BlockDeviceCosts? costs, IBlockStore store, bool readOnly)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfLessThan(pages, 1, nameof(pages));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(pages, uint.MaxValue, nameof(pages));
        Name = name;
        CapacityPages = pages;
        Costs = costs ?? BlockDeviceCosts.SolidState;
        _store = store;
        IsReadOnly = readOnly;
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>Its size in pages.</summary>
    public long CapacityPages { get; }

    /// <summary>How long it takes.</summary>
    public BlockDeviceCosts Costs { get; }

    /// <summary>Whether it refuses writes.</summary>
    public bool IsReadOnly { get; }

    /// <summary>Whether it is gone (<see cref="Vanish"/>): every request fails.</summary>
    public bool IsGone { get; private set; }

    /// <summary>Whether it has no room left although its size says so, as thin volumes run out: every write fails with ENOSPC.</summary>
    public bool IsFull { get; set; }

    /// <summary>Whether writes stay under way (<see cref="PageFlags.Writeback"/>) until somebody waits for them or <see cref="CompleteWrites"/> is called; else a write is done when it returns.</summary>
    public bool HoldsWrites { get; set; }

    /// <summary>Requests that read.</summary>
    public long ReadRequests { get; private set; }

    /// <summary>Requests that wrote.</summary>
    public long WriteRequests { get; private set; }

    /// <summary>Pages read.</summary>
    public long PagesRead { get; private set; }

    /// <summary>Pages written.</summary>
    public long PagesWritten { get; private set; }

    /// <summary>Requests that did not start where the one before ended.</summary>
    public long Seeks { get; private set; }

    /// <summary>Requests that failed.</summary>
    public long Failures { get; private set; }

    /// <summary>How long it was busy, in nanoseconds of simulated time.</summary>
    public long BusyNanoseconds { get; private set; }

    /// <summary>Flushes of the device's cache.</summary>
    public long Flushes { get; private set; }

    /// <summary>Who writes its dirty pages, once it holds files.</summary>
    internal IHeldWrites? Writeback { get; set; }

    /// <summary>Whether it is on for swap.</summary>
    internal bool HoldsSwap { get; set; }

    /// <summary>Its device number, as Linux gives it to devices of its name: <c>sda1</c> is 8:1, <c>vdb</c> 254:16, <c>loop3</c> 7:3, others 259:0.</summary>
    internal int Number
    {
        get
        {
            int digits = Name.Length;
            while (digits > 0 && char.IsAsciiDigit(Name[digits - 1]))
            {
                digits--;
            }

            _ = int.TryParse(Name.AsSpan(digits), System.Globalization.CultureInfo.InvariantCulture, out int number);
            string stem = Name[..digits];
            int disk = stem.Length == 3 ? (stem[2] - 'a') * 16 : 0;
            (int major, int minor) = stem switch
            {
                "loop" => (7, number),
                ['s', 'd', >= 'a' and <= 'z'] => (8, disk + number),
                ['v', 'd', >= 'a' and <= 'z'] => (254, disk + number),
                _ => (259, 0),
            };
            return (major << 20) | (minor & 0xfffff);
        }
    }

    internal long LengthBytes => _store is HostFileStore file ? file.Length : CapacityPages << PageGeometry.PageShift;

    /// <summary>Makes a disk of a file of the host: simulated files read, and unless it is read-only write, that file.</summary>
    /// <param name="path">The file; its size, which never changes, is that of the disk.</param>
    /// <param name="readOnly">Whether writes are refused.</param>
    /// <param name="costs">How long it takes; null for <see cref="BlockDeviceCosts.SolidState"/>.</param>
    /// <exception cref="InputFileException">The file cannot be opened, or is empty.</exception>
    public static BlockDevice FromHostFile(string path, bool readOnly = true, BlockDeviceCosts? costs = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        HostFileStore store;
        try
        {
            store = new HostFileStore(path, readOnly);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputFileException(path, 0, e.Message);
        }

        long pages = (store.Length + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;
        if (pages is 0 or > uint.MaxValue)
        {
            store.Dispose();
            throw new InputFileException(path, 0, $"a disk has 1 byte to 16 TiB, the file has {store.Length} bytes");
        }

        return new BlockDevice(Path.GetFileName(path), pages, costs, store, readOnly);
    }

    /// <summary>Makes requests that touch a range of sectors fail with EIO.</summary>
    /// <param name="first">The first sector of 512 bytes.</param>
    /// <param name="count">How many.</param>
    /// <param name="reads">Whether reads fail.</param>
    /// <param name="writes">Whether writes fail.</param>
    public void FailSectors(long first, long count, bool reads = true, bool writes = true)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        _bad.Add((first, count, reads, writes));
    }

    /// <summary>Makes all sectors work again.</summary>
    public void RepairSectors() => _bad.Clear();

    /// <summary>The disk is pulled out: everything fails with EIO from now on.</summary>
    public void Vanish() => IsGone = true;

    /// <summary>The disk is plugged in again, with what it held.</summary>
    public void Reappear() => IsGone = false;

    /// <summary>Ends all writes that are under way.</summary>
    /// <param name="cpu">The CPU that gets the interrupt.</param>
    /// <returns>How many pages were written.</returns>
    public int CompleteWrites(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = _user?.CpuTable.Own(cpu);
        using OwnersLock.Scope scope = cpu.Machine.EnterOwners();
        return (Writeback?.CompleteHeldWrites(cpu) ?? 0) + cpu.Machine.DeviceWaits.SwapWrites.CompleteHeldWrites(cpu);
    }

    /// <inheritdoc/>
    public void Dispose() => _store.Dispose();

    /// <summary>The device is a machine's from its first use on.</summary>
    /// <exception cref="ArgumentException">Another machine uses it.</exception>
    internal void Claim(Machine machine)
    {
        if ((Writeback?.Machine ?? _user) is { } user && !ReferenceEquals(user, machine) && (Writeback is not null || !user.IsDisposed))
        {
            throw new ArgumentException($"{this} is in use by another machine");
        }

        _user = machine;
    }

    /// <summary>It is off for swap: whoever wants it may have it.</summary>
    internal void Release()
    {
        HoldsSwap = false;
        _user = Writeback?.Machine;
    }

    /// <summary>The name and the size.</summary>
    public override string ToString() => $"{Name} ({ByteSize.FromPages(CapacityPages)})";

    /// <summary>Reads consecutive pages into frames.</summary>
    /// <param name="cpu">The CPU that asks.</param>
    /// <param name="page">The first page of the device.</param>
    /// <param name="frames">Where to.</param>
    /// <param name="waits">Whether the CPU waits for it.</param>
    internal Errno Read(Cpu cpu, long page, ReadOnlySpan<int> frames, bool waits)
    {
        ReadRequests++;
        Errno error = Check(page, frames.Length, write: false);
        Spend(cpu, page, frames.Length, waits);
        if (error != Errno.None)
        {
            Failures++;
            return error;
        }

        PagesRead += frames.Length;
        PhysicalMemory ram = cpu.Machine.Ram;
        Span<byte> nothing = stackalloc byte[ram.HasContents || !_store.TakesMemory ? 0 : PageGeometry.PageSize];
        for (int i = 0; i < frames.Length && (ram.HasContents || _store.TakesMemory) && error == Errno.None; i++)
        {
            error = _store.Read(cpu, page + i, ram.HasContents ? ram.Frame(frames[i]) : nothing);
        }

        Failures += error == Errno.None ? 0 : 1;
        return error;
    }

    /// <summary>Reads a page into bytes that are no frame.</summary>
    internal Errno ReadBytes(Cpu cpu, long page, Span<byte> into)
    {
        ReadRequests++;
        Errno error = Check(page, 1, write: false);
        Spend(cpu, page, 1, waits: true);
        if (error == Errno.None)
        {
            PagesRead++;
            error = _store.Read(cpu, page, into);
        }

        Failures += error == Errno.None ? 0 : 1;
        return error;
    }

    /// <summary>Writes a page from bytes that are no frame.</summary>
    internal Errno WriteBytes(Cpu cpu, long page, ReadOnlySpan<byte> from)
    {
        WriteRequests++;
        Errno error = Check(page, 1, write: true);
        Spend(cpu, page, 1, waits: true);
        if (error == Errno.None)
        {
            PagesWritten++;
            error = _store.Write(cpu, page, from);
        }

        Failures += error == Errno.None ? 0 : 1;
        return error;
    }

    /// <summary>Writes consecutive pages from frames.</summary>
    internal Errno Write(Cpu cpu, long page, ReadOnlySpan<int> frames, bool waits)
    {
        WriteRequests++;
        Errno error = Check(page, frames.Length, write: true);
        Spend(cpu, page, frames.Length, waits);
        if (error != Errno.None)
        {
            Failures++;
            return error;
        }

        PagesWritten += frames.Length;
        PhysicalMemory ram = cpu.Machine.Ram;
        Span<byte> nothing = stackalloc byte[ram.HasContents || !_store.TakesMemory ? 0 : PageGeometry.PageSize];
        nothing.Clear();
        for (int i = 0; i < frames.Length && (ram.HasContents || _store.TakesMemory) && error == Errno.None; i++)
        {
            error = _store.Write(cpu, page + i, ram.HasContents ? ram.ReadOnly((ulong)frames[i] << PageGeometry.PageShift, PageGeometry.PageSize) : nothing);
        }

        Failures += error == Errno.None ? 0 : 1;
        return error;
    }

    /// <summary>Whether what it holds takes memory of the machine.</summary>
    internal bool TakesMemory => _store.TakesMemory;

    /// <summary>A slot of swap on it is free.</summary>
    internal void SlotFreed(Cpu cpu, long page) => _store.SlotFreed(cpu, page);

    /// <summary>Forgets pages that no file has any more.</summary>
    internal void Discard(long page, long count)
    {
        Debug.Assert(page >= 0 && count >= 0 && page + count <= CapacityPages, "pages of the device");
        if (!IsGone && !IsReadOnly)
        {
            _store.Discard(page, count);
        }
    }

    /// <summary>Makes what was written durable.</summary>
    internal Errno Flush()
    {
        Flushes++;
        if (IsGone)
        {
            return Errno.EIO;
        }

        _store.Flush();
        return Errno.None;
    }

    private Errno Check(long page, int count, bool write)
    {
        if (IsGone || page < 0 || page + count > CapacityPages)
        {
            return Errno.EIO;
        }

        if (write && (IsReadOnly || IsFull))
        {
            return IsReadOnly ? Errno.EROFS : Errno.ENOSPC;
        }

        long first = page * SectorsPerPage;
        long end = first + ((long)count * SectorsPerPage);
        foreach ((long badFirst, long badCount, bool reads, bool writes) in _bad)
        {
            if ((write ? writes : reads) && badFirst < end && badFirst + badCount > first)
            {
                return Errno.EIO;
            }
        }

        return Errno.None;
    }

    /// <summary>Lets time pass: a request begins when the one before ended, and whoever waits for it waits until its end.</summary>
    private void Spend(Cpu cpu, long page, int count, bool waits)
    {
        Debug.Assert(count > 0 && Failures <= ReadRequests + WriteRequests, "a request is about pages, and fails once at most");
        bool seeks = page != _next;
        _next = page + count;
        Seeks += seeks ? 1 : 0;
        long time = Costs.OverheadNanoseconds + (seeks ? Costs.SeekNanoseconds : 0) + (Costs.PageNanoseconds * count);
        BusyNanoseconds += time;
        Machine machine = cpu.Machine;
        _busyUntil = Math.Max(_busyUntil, machine.Clock.Nanoseconds) + time;
        Debug.Assert(time >= 0 && _busyUntil >= machine.Clock.Nanoseconds, "a device is busy for a time that is still to pass");
        if (waits)
        {
            machine.DeviceWaits.Wait(cpu, _busyUntil);
        }
    }
}
