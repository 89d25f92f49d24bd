namespace MemSim.Observability;

/// <summary>Who has a page frame.</summary>
public enum FrameUse
{
    /// <summary>No zone of the machine has the frame.</summary>
    Hole = 0,

    /// <summary>Firmware, or kept from the allocator since boot.</summary>
    Reserved = 1,

    /// <summary>The kernel's, since before the page allocator ran: its image, page structures, tables.</summary>
    Boot = 2,

    /// <summary>Free, in the buddy lists.</summary>
    Free = 3,

    /// <summary>Free, in a list of a CPU.</summary>
    PerCpu = 4,

    /// <summary>Allocated by the kernel, and the frame does not say what for.</summary>
    Kernel = 5,

    /// <summary>A slab.</summary>
    Slab = 6,

    /// <summary>A page table.</summary>
    PageTable = 7,

    /// <summary>Anonymous memory of processes.</summary>
    Anonymous = 8,

    /// <summary>Page cache: part of a file on a disk.</summary>
    File = 9,

    /// <summary>Shared memory, or a file of tmpfs.</summary>
    SharedMemory = 10,

    /// <summary>A driver's, which can move it.</summary>
    Movable = 11,
}

/// <summary>The list of pages by age that a page is on.</summary>
public enum FrameLru
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Anonymous memory not used lately.</summary>
    InactiveAnon = 1,

    /// <summary>Anonymous memory in use.</summary>
    ActiveAnon = 2,

    /// <summary>Page cache not used lately.</summary>
    InactiveFile = 3,

    /// <summary>Page cache in use.</summary>
    ActiveFile = 4,

    /// <summary>Pages that cannot be reclaimed.</summary>
    Unevictable = 5,

    /// <summary>The youngest generation of its kind of page (machines that keep age by generations: <c>lru_gen</c>).</summary>
    Youngest = 6,

    /// <summary>The generation after the youngest.</summary>
    OneOlder = 7,

    /// <summary>Two generations older than the youngest.</summary>
    TwoOlder = 8,

    /// <summary>Three generations older than the youngest: reclaim takes from it first, where there are so many.</summary>
    ThreeOlder = 9,
}

/// <summary>Frames that are one thing: a block, free or allocated, or neighbours that nobody can tell apart.</summary>
/// <param name="Start">The first frame.</param>
/// <param name="Pages">How many there are.</param>
/// <param name="Use">Who has them.</param>
/// <param name="Order">The order of the block; -1 where they are none.</param>
/// <param name="Lru">The list by age they are on.</param>
public readonly record struct FrameRun(Pfn Start, int Pages, FrameUse Use, int Order, FrameLru Lru);
