namespace MemSim;

/// <content>hugetlbfs.</content>
public sealed partial class MachineFiles
{
    /// <summary>Makes an empty file system of huge pages (hugetlbfs, <c>mount -o pagesize=</c>).</summary>
    /// <param name="pageSize">Bytes of its pages; 0 for the default size.</param>
    /// <returns>The file system.</returns>
    /// <exception cref="ArgumentException">The architecture has no such pages, or MemSim cannot map them.</exception>
    public HugetlbFileSystem MountHugetlbfs(ByteSize pageSize = default)
    {
        _machine.ThrowIfDisposed();
        HugetlbPool? pool = pageSize.Bytes == 0 ? _machine.Hugetlb.Pool : _machine.Hugetlb.PoolOf(pageSize);
        return pool is { IsMappable: true }
            ? new HugetlbFileSystem(_machine, pool, _nextAnonymousDevice++)
            : throw new ArgumentException($"there are no huge pages of {pageSize} to map", nameof(pageSize));
    }
}
