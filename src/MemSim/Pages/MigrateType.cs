namespace MemSim;

/// <summary>How movable the contents of a page block are: the buddy allocator keeps its free lists apart by this type.</summary>
/// <remarks>Kernel: <c>enum migratetype</c>. The numbers are those of a kernel with CMA; one without CMA prints no CMA column and calls isolate 4.</remarks>
public enum MigrateType
{
    /// <summary>Pages that cannot be moved: most kernel memory.</summary>
    Unmovable = 0,

    /// <summary>Pages that can be moved to another frame: user memory, page cache.</summary>
    Movable = 1,

    /// <summary>Pages that cannot be moved but can be reclaimed: inode and dentry caches.</summary>
    Reclaimable = 2,

    /// <summary>Blocks reserved for high-order requests that may not wait.</summary>
    HighAtomic = 3,

    /// <summary>Blocks of a contiguous memory area: only movable pages may be put there.</summary>
    Cma = 4,

    /// <summary>Blocks that nothing may be allocated from, e.g. while they are taken offline.</summary>
    Isolate = 5,
}
