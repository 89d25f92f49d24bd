namespace MemSim;

/// <summary>The state of a page frame, one bit a fact, as the kernel's <c>PG_*</c> flags.</summary>
/// <remarks>
/// The low 24 bits have the positions of a 64-bit Linux 6.1 kernel and are stored. The bits above are facts that the kernel encodes elsewhere (page type,
/// compound head pointer, aliases of other flags); <see cref="Page.Flags"/> derives them when read.
/// </remarks>
[Flags]
public enum PageFlags : long
{
    /// <summary>No flag set.</summary>
    None = 0,

    /// <summary><c>PG_locked</c>: locked for I/O or for a change of its state.</summary>
    Locked = 1 << 0,

    /// <summary><c>PG_referenced</c>: accessed since reclaim last looked.</summary>
    Referenced = 1 << 1,

    /// <summary><c>PG_uptodate</c>: its contents are valid.</summary>
    UpToDate = 1 << 2,

    /// <summary><c>PG_dirty</c>: modified since it was last written.</summary>
    Dirty = 1 << 3,

    /// <summary><c>PG_lru</c>: on an LRU list.</summary>
    Lru = 1 << 4,

    /// <summary><c>PG_active</c>: on an active LRU list.</summary>
    Active = 1 << 5,

    /// <summary><c>PG_workingset</c>: part of the working set when it was last reclaimed.</summary>
    WorkingSet = 1 << 6,

    /// <summary><c>PG_waiters</c>: somebody waits for its lock or writeback.</summary>
    Waiters = 1 << 7,

    /// <summary><c>PG_error</c>: an I/O error occurred.</summary>
    Error = 1 << 8,

    /// <summary><c>PG_slab</c>: part of a slab.</summary>
    Slab = 1 << 9,

    /// <summary><c>PG_owner_priv_1</c>: for the owner's use (file systems: checked; swap cache with <see cref="SwapBacked"/>).</summary>
    OwnerPrivate1 = 1 << 10,

    /// <summary><c>PG_arch_1</c>: for the architecture's use.</summary>
    Arch1 = 1 << 11,

    /// <summary><c>PG_reserved</c>: never handled by the page allocator: firmware, kernel image, memory map.</summary>
    Reserved = 1 << 12,

    /// <summary><c>PG_private</c>: <see cref="Page.Private"/> holds file system data.</summary>
    Private = 1 << 13,

    /// <summary><c>PG_private_2</c>: more file system data.</summary>
    Private2 = 1 << 14,

    /// <summary><c>PG_writeback</c>: being written.</summary>
    Writeback = 1 << 15,

    /// <summary><c>PG_head</c>: the first page of a compound page.</summary>
    Head = 1 << 16,

    /// <summary><c>PG_mappedtodisk</c>: all its blocks are allocated on disk.</summary>
    MappedToDisk = 1 << 17,

    /// <summary><c>PG_reclaim</c>: to be reclaimed as soon as writeback ends.</summary>
    Reclaim = 1 << 18,

    /// <summary><c>PG_swapbacked</c>: backed by swap: anonymous memory and shmem.</summary>
    SwapBacked = 1 << 19,

    /// <summary><c>PG_unevictable</c>: on the unevictable list.</summary>
    Unevictable = 1 << 20,

    /// <summary><c>PG_mlocked</c>: locked into memory by a process.</summary>
    Mlocked = 1 << 21,

    /// <summary><c>PG_uncached</c>: mapped uncached.</summary>
    Uncached = 1 << 22,

    /// <summary><c>PG_hwpoison</c>: the hardware reported an uncorrectable error.</summary>
    HwPoison = 1 << 23,

    /// <summary>A page of a compound page that is not its first (derived; the kernel's bit 0 of <c>compound_head</c>).</summary>
    Tail = 1L << 24,

    /// <summary>The first page of a free block in the buddy lists (derived; page type <c>PG_buddy</c>).</summary>
    Buddy = 1L << 25,

    /// <summary>In the swap cache (derived: <see cref="OwnerPrivate1"/> with <see cref="SwapBacked"/>).</summary>
    SwapCache = 1L << 26,

    /// <summary>A page of page tables (derived; page type <c>PG_table</c>).</summary>
    Table = 1L << 27,

    /// <summary>A guard page of <c>debug_pagealloc</c> (derived; page type <c>PG_guard</c>).</summary>
    Guard = 1L << 28,

    /// <summary>Isolated from its list for migration (derived; <c>PG_isolated</c> shares <see cref="Reclaim"/>'s bit on driver-movable pages).</summary>
    Isolated = 1L << 29,

    /// <summary>Logically offline, as balloon drivers mark pages (derived; page type <c>PG_offline</c>).</summary>
    Offline = 1L << 30,

    /// <summary>Found used by idle page tracking, which had cleared the trace in page tables (derived; <c>PG_young</c>).</summary>
    Young = 1L << 31,

    /// <summary>Not used since it was marked idle, as far as anybody has looked (derived; <c>PG_idle</c>).</summary>
    Idle = 1L << 32,

    /// <summary>All bits that are stored rather than derived.</summary>
    StoredMask = (1 << 24) - 1,
}

/// <summary>What the kernel's <c>page_type</c> says about a page that is not mapped into user space.</summary>
public enum PageType
{
    /// <summary>No type: an ordinary page.</summary>
    None = 0,

    /// <summary>The first page of a free block in the buddy lists.</summary>
    Buddy = 0x80,

    /// <summary>Logically offline.</summary>
    Offline = 0x100,

    /// <summary>A page of page tables.</summary>
    Table = 0x200,

    /// <summary>A guard page.</summary>
    Guard = 0x400,
}
