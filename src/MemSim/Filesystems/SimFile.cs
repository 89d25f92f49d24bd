using MemSim.PageCache;

namespace MemSim;

/// <summary>A simulated file: what the kernel calls an inode. It lives while it has a name, is open or mapped.</summary>
public sealed class SimFile
{
    private int _openings;

    internal SimFile(SimFileSystem fileSystem, string name, long number, VirtualAddress inode, VirtualAddress dentry)
    {
        Inode = inode;
        Dentry = dentry;
        FileSystem = fileSystem;
        Name = name;
        Number = number;
    }

    /// <summary>The file system it lies in.</summary>
    public SimFileSystem FileSystem { get; }

    /// <summary>Its name, which it keeps when it is deleted.</summary>
    public string Name { get; }

    /// <summary>Whether its name is gone: it lives until nobody uses it any more.</summary>
    public bool IsDeleted => Links == 0;

    /// <summary>Its inode number.</summary>
    public long Number { get; }

    /// <summary>Its size in bytes (<c>i_size</c>).</summary>
    public long Size { get; internal set; }

    /// <summary>Pages of it in the page cache (<c>nrpages</c>).</summary>
    public long CachedPages => Mapping.PageCount;

    /// <summary>How many open file descriptions and mapped areas there are.</summary>
    public int Openings => _openings;

    /// <summary>Whether it is memory rather than a file on a device: tmpfs and shared anonymous memory.</summary>
    public bool IsSharedMemory => Mapping.IsShmem;

    /// <summary>
    /// Whether processes that are no administrators neither own it nor may write to it: <c>mincore()</c> tells them of every page of it that it is in memory (since 5.2), so that nobody can watch what others read.
    /// </summary>
    public bool BelongsToOthers { get; set; }

    /// <summary>What nobody may do to it any more; <see cref="FileSeals.Seal"/> for all files in memory but those made to be sealed, none for files of disks.</summary>
    public FileSeals Seals { get; internal set; }

    /// <summary>Whether its mode lets it be executed: that of memfd files.</summary>
    internal bool IsExecutable { get; set; }

    /// <summary>The object of its file system's cache of inodes that it is.</summary>
    internal VirtualAddress Inode { get; }

    /// <summary>The object of <c>dentry</c> that its name is.</summary>
    internal VirtualAddress Dentry { get; }

    /// <summary>Its pages.</summary>
    internal FileMapping Mapping { get; set; } = null!;

    /// <summary>The number of names: 0 or 1.</summary>
    internal int Links { get; set; } = 1;

    /// <summary>Pages that it takes, on its device or of shared memory (<c>i_blocks</c>).</summary>
    public long Blocks { get; internal set; }

    /// <summary>What <c>/proc/pid/maps</c> shows.</summary>
    internal string DisplayName => Links == 0 ? $"/{Name} (deleted)" : $"/{Name}";

    /// <summary>The file's name.</summary>
    public override string ToString() => Name;

    internal void AddOpening() => _openings++;

    internal void DropOpening(Cpu cpu)
    {
        _openings--;
        SimFileSystem.EvictIfUnused(cpu, this);
    }
}
