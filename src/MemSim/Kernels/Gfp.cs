namespace MemSim;

/// <summary>What an allocation may do and where it may look ("get free pages" flags), with the bit values of Linux 6.1.</summary>
/// <remarks>
/// Names without the kernel's underscores: <c>__GFP_HIGH</c> is <see cref="High"/>, <c>GFP_KERNEL</c> is <see cref="Kernel"/>. Composites come after the single bits.
/// </remarks>
[Flags]
public enum Gfp : uint
{
    /// <summary>No flag: no reclaim of any kind, any normal zone, unmovable.</summary>
    None = 0,

    /// <summary><c>__GFP_DMA</c>: from ZONE_DMA. Alone it is also <c>GFP_DMA</c>.</summary>
    Dma = 0x01,

    /// <summary><c>__GFP_HIGHMEM</c>: high memory may be used.</summary>
    HighMem = 0x02,

    /// <summary><c>__GFP_DMA32</c>: from ZONE_DMA32. Alone it is also <c>GFP_DMA32</c>.</summary>
    Dma32 = 0x04,

    /// <summary><c>__GFP_MOVABLE</c>: the page can be migrated; ZONE_MOVABLE may be used together with <see cref="HighMem"/>.</summary>
    Movable = 0x08,

    /// <summary><c>__GFP_RECLAIMABLE</c>: slab that shrinkers can free.</summary>
    Reclaimable = 0x10,

    /// <summary><c>__GFP_HIGH</c>: high priority, may use part of the reserves.</summary>
    High = 0x20,

    /// <summary><c>__GFP_IO</c>: may start physical I/O.</summary>
    Io = 0x40,

    /// <summary><c>__GFP_FS</c>: may call into the file system.</summary>
    Fs = 0x80,

    /// <summary><c>__GFP_ZERO</c>: zeroed contents.</summary>
    Zero = 0x100,

    /// <summary><c>__GFP_ATOMIC</c>: cannot wait and has high priority.</summary>
    AtomicBit = 0x200,

    /// <summary><c>__GFP_DIRECT_RECLAIM</c>: the caller may reclaim, hence sleep.</summary>
    DirectReclaim = 0x400,

    /// <summary><c>__GFP_KSWAPD_RECLAIM</c>: kswapd may be woken.</summary>
    KswapdReclaim = 0x800,

    /// <summary><c>__GFP_WRITE</c>: the page will be dirtied soon.</summary>
    Write = 0x1000,

    /// <summary><c>__GFP_NOWARN</c>: no report when the allocation fails.</summary>
    NoWarn = 0x2000,

    /// <summary><c>__GFP_RETRY_MAYFAIL</c>: retry as long as there is progress, but no OOM killer.</summary>
    RetryMayFail = 0x4000,

    /// <summary><c>__GFP_NOFAIL</c>: never fail.</summary>
    NoFail = 0x8000,

    /// <summary><c>__GFP_NORETRY</c>: give up after one round of light reclaim.</summary>
    NoRetry = 0x10000,

    /// <summary><c>__GFP_MEMALLOC</c>: all reserves may be used.</summary>
    MemAlloc = 0x20000,

    /// <summary><c>__GFP_COMP</c>: make a compound page.</summary>
    Comp = 0x40000,

    /// <summary><c>__GFP_NOMEMALLOC</c>: no emergency reserves, whatever else says so.</summary>
    NoMemAlloc = 0x80000,

    /// <summary><c>__GFP_HARDWALL</c>: stay within the cpuset.</summary>
    HardWall = 0x100000,

    /// <summary><c>__GFP_THISNODE</c>: this node or none.</summary>
    ThisNode = 0x200000,

    /// <summary><c>__GFP_ACCOUNT</c>: charged to the memory cgroup.</summary>
    Account = 0x400000,

    /// <summary><c>__GFP_ZEROTAGS</c>: zero memory tags as well (arm64 MTE).</summary>
    ZeroTags = 0x800000,

    /// <summary><c>__GFP_RECLAIM</c>: both kinds of reclaim.</summary>
    Reclaim = DirectReclaim | KswapdReclaim,

    /// <summary><c>GFP_ATOMIC</c>: cannot sleep and may use part of the reserves.</summary>
    Atomic = High | AtomicBit | KswapdReclaim,

    /// <summary><c>GFP_KERNEL</c>: ordinary kernel memory, may sleep, do I/O and call file systems.</summary>
    Kernel = Reclaim | Io | Fs,

    /// <summary><c>GFP_KERNEL_ACCOUNT</c>: as <see cref="Kernel"/>, charged to the memory cgroup.</summary>
    KernelAccount = Kernel | Account,

    /// <summary><c>GFP_NOWAIT</c>: cannot sleep, no reserves.</summary>
    NoWait = KswapdReclaim,

    /// <summary><c>GFP_NOIO</c>: may reclaim clean pages but start no I/O.</summary>
    NoIo = Reclaim,

    /// <summary><c>GFP_NOFS</c>: may start I/O but not call file systems.</summary>
    NoFs = Reclaim | Io,

    /// <summary><c>GFP_USER</c>: for user space, directly accessible to the kernel.</summary>
    User = Reclaim | Io | Fs | HardWall,

    /// <summary><c>GFP_HIGHUSER</c>: for user space, not directly accessible, not movable.</summary>
    HighUser = User | HighMem,

    /// <summary><c>GFP_HIGHUSER_MOVABLE</c>: for user space, movable: anonymous pages and page cache.</summary>
    HighUserMovable = HighUser | Movable,

    /// <summary><c>GFP_TRANSHUGE_LIGHT</c>: transparent huge page at fault time, no reclaim.</summary>
    TransHugeLight = (HighUserMovable | Comp | NoMemAlloc | NoWarn) & ~Reclaim,

    /// <summary><c>GFP_TRANSHUGE</c>: transparent huge page with direct reclaim.</summary>
    TransHuge = TransHugeLight | DirectReclaim,

    /// <summary><c>GFP_ZONEMASK</c>: the bits that choose the zone.</summary>
    ZoneMask = Dma | HighMem | Dma32 | Movable,

    /// <summary><c>__GFP_BITS_MASK</c>: all bits that are flags.</summary>
    BitsMask = (1u << 27) - 1,
}
