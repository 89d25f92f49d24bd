using MemSim.AddressSpaces.Files;

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

    internal void Uncharge() => UsedPages--;

    internal override Errno Flush() => Errno.None;

    /// <summary>A file without a name.</summary>
    internal OpenFile CreateUnnamed(string name, long bytes)
    {
        SimFile file = new(this, name, TakeInode()) { Size = bytes, Links = 0 };
        file.Mapping = MakeMapping(file);
        return new OpenFile(file, OpenMode.ReadWrite);
    }

    private protected override FileMapping MakeMapping(SimFile file) => new ShmemMapping(file, this);
}
