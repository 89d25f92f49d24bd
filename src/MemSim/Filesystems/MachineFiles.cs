using MemSim.Filesystems;
using MemSim.Lru;
using MemSim.PageCache;
using MemSim.Pages;
using MemSim.Slab;
using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim;

/// <summary>File systems and devices as files. <see cref="Machine.Files"/>.</summary>
public sealed partial class MachineFiles
{
    private readonly Machine _machine;

    internal MachineFiles(Machine machine) => _machine = machine;

    // File systems without a device get minors of major 0; the first ones belong to those that every kernel mounts.
    private int _nextAnonymousDevice = 0x19;

    private long[] _filePagesBefore = [];

    /// <summary>Makes an empty file system on a device.</summary>
    /// <param name="device">The device.</param>
    /// <returns>The file system.</returns>
    /// <exception cref="ArgumentException">Another machine uses the device.</exception>
    /// <exception cref="InvalidOperationException">The device is on for swap.</exception>
    public DiskFileSystem Mount(BlockDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        _machine.ThrowIfDisposed();
        return new DiskFileSystem(_machine, device);
    }

    /// <summary>Makes an empty file system in memory (tmpfs).</summary>
    /// <param name="limit">How much its files may hold; 0 for half of the memory, as the kernel has it.</param>
    /// <returns>The file system.</returns>
    public TmpFileSystem MountTmpfs(ByteSize limit = default)
    {
        _machine.ThrowIfDisposed();
        return new TmpFileSystem(_machine, limit.Bytes != 0 ? limit.Pages : _machine.Zones.Sum(z => z.ManagedPages) / 2, _nextAnonymousDevice++);
    }

    /// <summary>Opens a device as a file: what is read of it are buffers.</summary>
    /// <param name="device">The device.</param>
    /// <param name="mode">What it is opened for.</param>
    /// <param name="cpu">The CPU that does it; null for the first.</param>
    /// <returns>The open file; EROFS, ENOMEM, or EBUSY when another device of that name is open.</returns>
    public Result<OpenFile> OpenDevice(BlockDevice device, OpenMode mode = OpenMode.Read, Cpu? cpu = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        _machine.ThrowIfDisposed();
        return DeviceFiles.OpenDevice(_machine.CpuTable.Own(cpu), device, mode);
    }

    /// <summary>Drops caches, as writing to <c>/proc/sys/vm/drop_caches</c> does.</summary>
    /// <param name="what">1: clean pages of files that nobody uses; 2: reclaimable slab objects; 3: both.</param>
    /// <exception cref="ArgumentOutOfRangeException">The kernel would refuse the number.</exception>
    public void DropCaches(int what)
    {
        _machine.ThrowIfDisposed();
        ArgumentOutOfRangeException.ThrowIfLessThan(what, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(what, 4);
        Cpu cpu = _machine.Cpus.First(c => c.IsOnline);
        if ((what & 1) != 0)
        {
            using OwnersLock.Scope scope = _machine.EnterOwners();
            _ = PageCache.DropPages(cpu);
        }

        if ((what & 2) != 0)
        {
            _machine.Shrinkers.Drop(cpu);
            SlabDropper?.Invoke(cpu);
            _machine.Events.Count(VmEvent.DropSlab);
        }
    }

    /// <summary>Has everything written that is dirty: reclaim found nothing else (<c>wakeup_flusher_threads()</c>).</summary>
    internal void WakeFlushers(Cpu cpu)
    {
        using OwnersLock.Scope scope = _machine.EnterOwners();
        foreach (DeviceWriteback device in PageCache.Devices)
        {
            device.WakeForReclaim(cpu);
        }
    }

    /// <summary>Time passes for a reclaimer that cannot go on: devices end the writes that are under way.</summary>
    internal void LetWritesEnd(Cpu cpu)
    {
        using OwnersLock.Scope scope = _machine.EnterOwners();
        foreach (DeviceWriteback device in PageCache.Devices)
        {
            _ = device.CompleteHeldWrites(cpu);
        }

        _ = _machine.DeviceWaits.SwapWrites.CompleteHeldWrites(cpu);
    }

    /// <summary>Checks the page cache: trees against frames, tags against flags, counters.</summary>
    internal void Verify()
    {
        int nodes = _machine.Nodes.Count;
        long[] filePages = new long[nodes];
        long[] shmem = new long[nodes];
        long[] dirty = new long[nodes];
        long[] writeback = new long[nodes];
        long pages = 0;
        foreach (FileMapping mapping in PageCache.Mappings)
        {
            mapping.Verify(filePages, shmem, dirty, writeback);
            pages += mapping.PageCount;
        }

        for (int i = 0; i < nodes; i++)
        {
            NodeCounters counters = _machine.Nodes[i].Counters;
            RequireCount($"nr_file_pages of node {i}", counters.FilePages - counters.SwapCached - _filePagesBefore[i * 4], filePages[i]);
            RequireCount($"nr_shmem of node {i}", counters.Shmem - _filePagesBefore[(i * 4) + 1], shmem[i]);
            RequireCount($"nr_dirty of node {i}", counters.Dirty - _filePagesBefore[(i * 4) + 2], dirty[i]);
            RequireCount($"nr_writeback of node {i}", counters.Writeback - _machine.DeviceWaits.SwapWrites.PagesUnderWay(i) - _filePagesBefore[(i * 4) + 3], writeback[i]);
        }

        VerifyObjects();
        RequireCount("pages whose frames say that a file has them", FramesOfFiles(), pages);
    }

    /// <summary>As many inodes, names and open files take memory as there are.</summary>
    private void VerifyObjects()
    {
        KernelObjectCheck check = new(_machine);
        long openings = 0;
        foreach (FileMapping mapping in PageCache.Mappings)
        {
            check.Add(mapping.Host.FileSystem.InodeKind, mapping.Host.Inode);
            check.Add(KernelObject.Dentry, mapping.Host.Dentry);
            openings += mapping.Host.Openings;
        }

        for (KernelObject kind = KernelObject.DeviceInode; kind <= KernelObject.DiskInode; kind++)
        {
            check.Require(kind);
        }

        check.Require(KernelObject.Dentry);
        RequireCount("open files", _machine.Slab.KernelObjects.InUse(KernelObject.File), openings);
    }

    private static void RequireCount(string what, long counted, long found)
    {
        if (counted != found)
        {
            string message = $"page cache: {what}: {counted} counted, {found} found";
            throw new KernelBugException(KernelBugKind.Corruption, message, message);
        }
    }

    private long FramesOfFiles()
    {
        long frames = 0;
        foreach (PresentRange range in _machine.ZoneTable.PresentRanges)
        {
            FramesInUse used = new(_machine, range.Start, range.End);
            while (used.MoveNext())
            {
                ref PageFrame frame = ref _machine.Frames.Array[used.Pfn];
                if (frame.IsOfFile && _machine.Frames.Mappings.Find(frame.Mapping) is FileMapping)
                {
                    frames += 1L << frame.Order;
                }
            }
        }

        return frames;
    }

    /// <summary>There is a file: from now on memory is reclaimed, shadows of evicted pages included.</summary>
    internal void UsePageCache()
    {
        if (PageCache.TryStart())
        {
            _machine.Shrinkers.Register(new ShadowShrinker(PageCache));
        }
    }

    internal void Build()
    {
        PageCache = new FileCache(_machine);
        SharedMemory = new TmpFileSystem(_machine, long.MaxValue, deviceNumber: 1);
        DeviceFiles = new DeviceFileSystem(_machine);

        // A machine restored from a capture starts with the capture's counters.
        _filePagesBefore = [.. _machine.Nodes.SelectMany(n => new[] { n.Counters.FilePages - n.Counters.SwapCached, n.Counters.Shmem, n.Counters.Dirty, n.Counters.Writeback })];
    }

    /// <summary>The page cache.</summary>
    internal FileCache PageCache { get; set; } = null!;

    /// <summary>Where shared anonymous memory lives: the kernel's own tmpfs, without a limit.</summary>
    internal TmpFileSystem SharedMemory { get; set; } = null!;

    /// <summary>Block devices as files.</summary>
    internal DeviceFileSystem DeviceFiles { get; set; } = null!;

    /// <summary>Swap space for shared memory; null for none.</summary>
    internal IShmemSwap? ShmemSwap { get; set; }

    /// <summary>Frees what no shrinker knows for <c>drop_caches</c>; null for nothing to free.</summary>
    internal Action<Cpu>? SlabDropper { get; set; }
}

/// <content>File systems: mounting them, devices as files, dropping caches.</content>
public sealed partial class Machine
{
    /// <summary>File systems: mounting them, devices as files, dropping caches.</summary>
    public MachineFiles Files { get; }
}
