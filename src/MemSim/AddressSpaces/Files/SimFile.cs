using MemSim.AddressSpaces.Files;

namespace MemSim;

/// <summary>A simulated file: what the kernel calls an inode. It lives while it has a name, is open or mapped.</summary>
public sealed class SimFile
{
    private int _openings;

    internal SimFile(SimFileSystem fileSystem, string name, long number)
    {
        FileSystem = fileSystem;
        Name = name;
        Number = number;
    }

    /// <summary>The file system it lies in.</summary>
    public SimFileSystem FileSystem { get; }

    /// <summary>Its name; empty once it is deleted, and for files that never had one.</summary>
    public string Name { get; internal set; }

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

    /// <summary>Its pages.</summary>
    internal FileMapping Mapping { get; set; } = null!;

    /// <summary>The number of names: 0 or 1.</summary>
    internal int Links { get; set; } = 1;

    /// <summary>Pages of the device it takes (<c>i_blocks</c>).</summary>
    internal long Blocks { get; set; }

    /// <summary>The file's name, or how it is shown without one.</summary>
    public override string ToString() => Name.Length != 0 ? Name : $"(inode {Number})";

    internal void AddOpening() => _openings++;

    internal void DropOpening(Cpu cpu)
    {
        _openings--;
        FileSystem.EvictIfUnused(cpu, this);
    }
}
