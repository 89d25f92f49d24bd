using MemSim.PageCache;

namespace MemSim.Filesystems;

/// <summary>The pages of a file on a disk.</summary>
internal sealed class DiskMapping : FileMapping
{
    private readonly DiskFileSystem _fileSystem;
    private readonly ExtentMap _extents = new();

    public DiskMapping(SimFile host, DiskFileSystem fileSystem, DeviceWriteback writeback)
        : base(host, fileSystem.Machine, Gfp.HighUserMovable, tracksShadows: true)
    {
        _fileSystem = fileSystem;
        Writeback = writeback;
    }

    public override DeviceWriteback? Writeback { get; }

    public override int LargestOrder => Machine.Personality.Reclaim.FileFolioOrder;

    /// <summary>Takes over pages of the device that hold the file already.</summary>
    public void Own(uint firstBlock, uint pages)
    {
        if (pages != 0)
        {
            _extents.Add(0, firstBlock, pages);
            Host.Blocks = _extents.Pages;
        }
    }

    protected override long BlockOf(uint index) => _extents.Find(index);

    protected override Errno EnsureBlock(uint index)
    {
        if (_extents.Find(index) >= 0)
        {
            return Errno.None;
        }

        long block = _fileSystem.TakePage(_extents.Goal(index));
        if (block < 0)
        {
            return Errno.ENOSPC;
        }

        _extents.Add(index, (uint)block, 1);
        Host.Blocks = _extents.Pages;
        return Errno.None;
    }

    protected override void FreeBlocks(uint first, uint last)
    {
        while (_extents.TakeFirst(first, last, out uint block, out uint count))
        {
            _fileSystem.GivePages(block, count);
        }

        Host.Blocks = _extents.Pages;
    }
}
