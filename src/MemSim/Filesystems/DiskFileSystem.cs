using MemSim.BlockDevices;
using MemSim.Filesystems;
using MemSim.PageCache;
using MemSim.Slab;

namespace MemSim;

/// <summary>A file system on a block device: files take runs of pages where there is room, holes take none.</summary>
/// <remarks>Names, sizes and where files lie are kept by the simulator; only contents are on the device.</remarks>
public sealed class DiskFileSystem : SimFileSystem
{
    private readonly DeviceWriteback _writeback;
    private readonly PageBitmap _used;

    internal DiskFileSystem(Machine machine, BlockDevice device)
        : base(machine, device.Number, firstInode: 12)
    {
        _writeback = machine.Files.PageCache.Attach(device);
        _used = new PageBitmap(device.CapacityPages);
        Device = device;
    }

    /// <summary>The device.</summary>
    public BlockDevice Device { get; }

    /// <inheritdoc/>
    public override long FreePages => _used.Free;

    /// <inheritdoc/>
    public override bool IsReadOnly => Device.IsReadOnly;

    /// <summary>Makes a file of a part of the device as it is: how the bytes of a host file become a simulated file's.</summary>
    /// <param name="name">The file's name.</param>
    /// <param name="firstPage">The first page of the device.</param>
    /// <param name="bytes">The file's size; -1 for everything to the end of the device.</param>
    /// <param name="mode">What it is opened for.</param>
    /// <param name="cpu">The CPU that does it; null for the first.</param>
    /// <returns>The open file; EINVAL when the part is not on the device or belongs to a file, and as <see cref="SimFileSystem.Create"/>.</returns>
    public Result<OpenFile> Adopt(string name, long firstPage = 0, long bytes = -1, OpenMode mode = OpenMode.Read, Cpu? cpu = null)
    {
        cpu = Machine.CpuTable.Own(cpu);
        Errno error = CheckName(name);
        if (error != Errno.None)
        {
            return error;
        }

        if (firstPage < 0 || firstPage >= Device.CapacityPages || bytes < -1)
        {
            return Errno.EINVAL;
        }

        bytes = bytes < 0 ? Device.LengthBytes - (firstPage << PageGeometry.PageShift) : bytes;
        long pages = (bytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;
        if (pages > Device.CapacityPages - firstPage || !_used.TryTake(firstPage, pages))
        {
            return Errno.EINVAL;
        }

        if (IsReadOnly && (mode & OpenMode.Write) != 0)
        {
            _used.Give(firstPage, pages);
            return Errno.EROFS;
        }

        Result<OpenFile> opened = OpenNew(cpu, name, bytes, mode);
        if (!opened.Succeeded)
        {
            _used.Give(firstPage, pages);
            return opened;
        }

        ((DiskMapping)opened.Value.Mapping).Own((uint)firstPage, (uint)pages);
        AddFile(opened.Value.File);
        return opened;
    }

    /// <summary>Takes a page of the device, at a place if it is free, else at the next one.</summary>
    /// <returns>-1 when there is none.</returns>
    internal long TakePage(long goal) => Device.IsFull ? -1 : _used.Take(goal);

    internal void GivePages(long first, long count)
    {
        _used.Give(first, count);
        Device.Discard(first, count);
    }

    internal override KernelObject InodeKind => KernelObject.DiskInode;

    internal override Errno Flush() => Device.Flush();

    private protected override FileMapping MakeMapping(SimFile file) => new DiskMapping(file, this, _writeback);
}
