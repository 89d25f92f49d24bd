using System.Globalization;
using MemSim.CompressedMemory;

namespace MemSim;

/// <summary>A disk whose pages are compressed into memory of the machine (<c>/dev/zram0</c>): swap without a disk.</summary>
/// <remarks>
/// What it takes are frames of the page allocator, which <c>nr_zspages</c> counts and compaction can move. Sizes are those of the compressor, so they are the same in
/// every run. A write for which there is no memory, or that would exceed the limit, fails with an I/O error.
/// </remarks>
/// <example><code>
/// using var zram = new Zram(machine, "zram0", "512M");
/// machine.Swap.SwapOn(zram.Disk, priority: 100);
/// // ...
/// Console.Write(zram["mm_stat"]);
/// </code></example>
public sealed class Zram : IDisposable
{
    private readonly Machine _machine;
    private readonly ZramStore _store;

    /// <summary>Makes one, as writing its <c>disksize</c> does.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="name">Its name, e.g. <c>zram0</c>.</param>
    /// <param name="diskSize">Its size uncompressed.</param>
    /// <param name="algorithm">How pages are compressed: <c>lz4</c> (as Debian's kernels from 6.12 on do) or <c>lzo</c>.</param>
    /// <param name="backing">A disk to which pages may be moved (<c>backing_dev</c>); null for none.</param>
    /// <exception cref="ArgumentException">There is no such algorithm, or the backing disk is in use.</exception>
    public Zram(Machine machine, string name, ByteSize diskSize, string algorithm = "lz4", BlockDevice? backing = null)
    {
        ArgumentNullException.ThrowIfNull(machine);
        ArgumentNullException.ThrowIfNull(algorithm);
        machine.ThrowIfDisposed();
        PageCompressor compressor = PageCompressor.Find(algorithm) ?? throw new ArgumentException($"pages are compressed by lz4 or lzo, not by {algorithm}", nameof(algorithm));
        ArgumentOutOfRangeException.ThrowIfLessThan(diskSize.Pages, 1, nameof(diskSize));
        if (backing is { HoldsSwap: true } or { Writeback: not null })
        {
            throw new ArgumentException($"{backing} is in use", nameof(backing));
        }

        backing?.Claim(machine);
        _machine = machine;
        Algorithm = algorithm;
        _store = new ZramStore(machine, name, diskSize.Pages, compressor, backing);
        Disk = new BlockDevice(name, diskSize.Pages, BlockDeviceCosts.Memory, _store, readOnly: false);
        Disk.Claim(machine);
    }

    /// <summary>The disk.</summary>
    public BlockDevice Disk { get; }

    /// <summary>How pages are compressed.</summary>
    public string Algorithm { get; }

    /// <summary>Bytes of the pages that are stored, uncompressed (<c>orig_data_size</c>).</summary>
    public long OriginalBytes => _store.StoredPages << PageGeometry.PageShift;

    /// <summary>Bytes that they are compressed to (<c>compr_data_size</c>).</summary>
    public long CompressedBytes => _store.CompressedBytes;

    /// <summary>Bytes of the frames taken for that (<c>mem_used_total</c>).</summary>
    public long MemoryBytes => _store.Pool.Pages << PageGeometry.PageShift;

    /// <summary>The most that it may take, in bytes; 0 for no limit (<c>mem_limit</c>).</summary>
    public long MemoryLimitBytes
    {
        get => _store.LimitPages << PageGeometry.PageShift;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            _store.LimitPages = (value + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;
        }
    }

    /// <summary>A file of <c>/sys/block/zramN</c>, as the kernel prints and takes it.</summary>
    /// <param name="file">
    /// Read: <c>mm_stat</c>, <c>io_stat</c>, <c>bd_stat</c>, <c>disksize</c>, <c>comp_algorithm</c>, <c>backing_dev</c>, <c>initstate</c>. Written: see <see cref="Write"/>.
    /// </param>
    /// <exception cref="ArgumentException">There is no such file, or it does not take what is written.</exception>
    public string this[string file]
    {
        get => Read(file) ?? throw new ArgumentException($"{Disk.Name} has no file {file}", nameof(file));
        set
        {
            Errno error = Write(file, value);
            if (error != Errno.None)
            {
                throw new ArgumentException($"{Disk.Name}/{file} does not take \"{value}\": {error}", nameof(value));
            }
        }
    }

    /// <summary>Writes a file as a shell would.</summary>
    /// <param name="file"><c>mem_limit</c> (bytes, with a suffix), <c>mem_used_max</c> (0), <c>compact</c>, <c>reset</c> (1), <c>idle</c> (<c>all</c>), <c>writeback</c> (<c>idle</c>, <c>huge</c>, <c>huge_idle</c>).</param>
    /// <param name="text">What is written.</param>
    /// <param name="on">The CPU that does it; null for the first.</param>
    /// <returns>ENOENT: no such file; EINVAL: not that text; EBUSY: it is on for swap; ENODEV: no backing disk; ENOSPC: it is full; EIO, ENOMEM: of the write-back.</returns>
    public Errno Write(string file, string text, Cpu? on = null)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(text);
        Cpu cpu = _machine.CpuTable.Own(on);
        string value = text.Trim();
        using Lru.OwnersLock.Scope owners = _machine.OwnersLock.Enter();
        switch (file)
        {
            case "mem_limit":
                if (!ByteSize.TryParse(value, out ByteSize limit))
                {
                    return Errno.EINVAL;
                }

                MemoryLimitBytes = (long)limit.Bytes;
                return Errno.None;
            case "mem_used_max":
                _store.MostPages = value == "0" ? _store.Pool.Pages : _store.MostPages;
                return value == "0" ? Errno.None : Errno.EINVAL;
            case "compact":
                _ = _store.Pool.Compact(cpu);
                return Errno.None;
            case "reset":
                if (Disk.HoldsSwap || value != "1")
                {
                    return value == "1" ? Errno.EBUSY : Errno.EINVAL;
                }

                _store.Clear(cpu);
                return Errno.None;
            case "idle":
                if (value == "all")
                {
                    _store.MarkIdle();
                }

                return value == "all" ? Errno.None : Errno.EINVAL;
            case "writeback":
                return value is "idle" or "huge" or "huge_idle" ? _store.WriteBack(cpu, value != "huge", value != "idle") : Errno.EINVAL;
            default:
                return Read(file) is null ? Errno.ENOENT : Errno.EINVAL;
        }
    }

    /// <summary>Gives all its memory back, what it held is lost; while it is on for swap nothing happens, as <c>reset</c> answers EBUSY then.</summary>
    public void Dispose()
    {
        if (!Disk.HoldsSwap)
        {
            Disk.Dispose();
        }
    }

    private string? Read(string file)
    {
        static string Number(long value) => value.ToString(CultureInfo.InvariantCulture) + "\n";
        ZramStore s = _store;
        long invalid = 0;
        return file switch
        {
            "mm_stat" => string.Create(
                CultureInfo.InvariantCulture,
                $"{OriginalBytes,8} {CompressedBytes,8} {MemoryBytes,8} {MemoryLimitBytes,8} {s.MostPages << PageGeometry.PageShift,8} {s.SamePages,8} {s.Pool.PagesCompacted,8} {s.HugePages,8} {s.HugePagesEver,8}\n"),
            "io_stat" when _machine.Personality.CompressedMemory.ZramCountsInvalid => string.Create(CultureInfo.InvariantCulture, $"{s.FailedReads,8} {s.FailedWrites,8} {invalid,8} {s.SlotsFreed,8}\n"),
            "io_stat" => string.Create(CultureInfo.InvariantCulture, $"{s.FailedReads,8} {s.FailedWrites,8} 0 {s.SlotsFreed,8}\n"),
            "bd_stat" => string.Create(CultureInfo.InvariantCulture, $"{s.BackedPages,8} {s.BackedReads,8} {s.BackedWrites,8}\n"),
            "disksize" => Number(Disk.CapacityPages << PageGeometry.PageShift),
            "comp_algorithm" => Algorithm == "lz4" ? "lzo [lz4]\n" : "[lzo] lz4\n",
            "backing_dev" => (s.Backing?.Name ?? "none") + "\n",
            "initstate" => "1\n",
            _ => null,
        };
    }
}
