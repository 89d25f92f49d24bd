using MemSim.PageCache;
using MemSim.Slab;

namespace MemSim.Filesystems;

/// <summary>Block devices as files: one file a device, whose pages are buffers (<c>Buffers</c> in <c>/proc/meminfo</c>) and cannot be moved.</summary>
internal sealed class DeviceFileSystem : SimFileSystem
{
    public DeviceFileSystem(Machine machine)
        : base(machine, deviceNumber: 5, firstInode: 2)
    {
    }

    public override long FreePages => 0;

    public override bool IsReadOnly => false;

    internal override KernelObject InodeKind => KernelObject.DeviceInode;

    public Result<OpenFile> OpenDevice(Cpu cpu, BlockDevice device, OpenMode mode)
    {
        if (device.IsReadOnly && (mode & OpenMode.Write) != 0)
        {
            return Errno.EROFS;
        }

        DeviceWriteback writeback = Machine.Files.PageCache.Attach(device);
        if (!TryFind(device.Name, out SimFile? file))
        {
            file = NewFile(cpu, device.Name, device.CapacityPages << PageGeometry.PageShift);
            if (file is null)
            {
                return Errno.ENOMEM;
            }

            file.Mapping = new DeviceMapping(file, Machine, writeback);
            AddFile(file);
        }

        return file.Mapping.Writeback == writeback ? Open(cpu, file, mode) : Errno.EBUSY;
    }

    internal override Errno Flush() => Errno.None;

    private protected override FileMapping MakeMapping(SimFile file) => throw new NotSupportedException("devices are not created: see Machine.OpenDevice");

    /// <summary>The pages of a device itself.</summary>
    private sealed class DeviceMapping : FileMapping
    {
        public DeviceMapping(SimFile host, Machine machine, DeviceWriteback writeback)
            : base(host, machine, Gfp.User, tracksShadows: true)
        {
            Writeback = writeback;
            IsDevice = true;
        }

        public override DeviceWriteback? Writeback { get; }

        protected override long BlockOf(uint index) => index < Writeback!.Device.CapacityPages ? index : -1;

        protected override Errno EnsureBlock(uint index) => BlockOf(index) < 0 ? Errno.ENOSPC : Errno.None;
    }
}
