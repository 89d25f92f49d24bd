using System.Diagnostics;
using MemSim.Filesystems;
using MemSim.PageCache;
using MemSim.Slab;

namespace MemSim;

/// <summary>A file system in memory (tmpfs): its pages are shared memory, which can be swapped but not dropped.</summary>
public sealed class TmpFileSystem : SimFileSystem
{
    internal TmpFileSystem(Machine machine, long limitPages, int deviceNumber)
        : base(machine, deviceNumber, firstInode: 2) => LimitPages = limitPages;

    /// <summary>Pages that its files may have together (<c>size=</c>).</summary>
    public long LimitPages { get; }

    /// <summary>Pages that its files have, swapped ones included.</summary>
    public long UsedPages { get; private set; }

    /// <inheritdoc/>
    public override long FreePages => LimitPages - UsedPages;

    /// <inheritdoc/>
    public override bool IsReadOnly => false;

    internal bool TryCharge()
    {
        bool fits = UsedPages < LimitPages;
        UsedPages += fits ? 1 : 0;
        return fits;
    }

    internal void Uncharge()
    {
        Debug.Assert(UsedPages > 0, "no more pages go than came");
        UsedPages--;
    }

    internal override Errno Flush() => Errno.None;

    internal override KernelObject InodeKind => KernelObject.ShmemInode;

    /// <summary>A file without a name.</summary>
    internal Result<OpenFile> CreateUnnamed(Cpu cpu, string name, long bytes)
    {
        Result<OpenFile> opened = OpenNew(cpu, name, bytes, OpenMode.ReadWrite);
        if (opened.Succeeded)
        {
            opened.Value.File.Links = 0;
        }

        return opened;
    }

    private protected override FileMapping MakeMapping(SimFile file) => new ShmemMapping(file, this);
}
