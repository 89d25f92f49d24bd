using MemSim.Hugetlb;
using MemSim.PageCache;
using MemSim.Slab;

namespace MemSim;

/// <summary>A file system of huge pages (hugetlbfs): its files are mapped, truncated and read, but not written to.</summary>
public sealed class HugetlbFileSystem : SimFileSystem
{
    internal HugetlbFileSystem(Machine machine, HugetlbPool pool, int deviceNumber)
        : base(machine, deviceNumber, firstInode: 2) => Pool = pool;

    /// <summary>Where its pages come from.</summary>
    public HugetlbPool Pool { get; }

    /// <summary>Small pages that files can still take: those of free huge pages that nobody was promised.</summary>
    public override long FreePages => (Pool.Free - Pool.Reserved) << Pool.Order;

    /// <inheritdoc/>
    public override bool IsReadOnly => false;

    internal override KernelObject InodeKind => KernelObject.HugetlbInode;

    internal override Errno Flush() => Errno.None;

    private protected override FileMapping MakeMapping(SimFile file) => new HugetlbMapping(file, this);
}
