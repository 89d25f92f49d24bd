namespace MemSim;

/// <summary>How a machine's MMU is built; given to the boot with <see cref="MachineSpec.WithMmu"/>.</summary>
public sealed record MmuOptions
{
    /// <summary>Usual options: a current CPU of the architecture, everything on that it has.</summary>
    public static MmuOptions Default { get; } = new();

    /// <summary>The CPU's TLBs; null for a usual CPU of the architecture (Skylake, Cortex-A57).</summary>
    public TlbGeometry? Tlb { get; init; }

    /// <summary>Five levels instead of four on x86-64 (LA57).</summary>
    public bool FiveLevels { get; init; }

    /// <summary>Process context identifiers (CR4.PCIDE): TLB entries survive a switch of address spaces. x86-64 only; arm64 always has ASIDs.</summary>
    public bool ProcessContextIds { get; init; } = true;

    /// <summary>Global pages (CR4.PGE).</summary>
    public bool GlobalPages { get; init; } = true;

    /// <summary>The kernel cannot execute user pages (CR4.SMEP; arm64 PXN does it by entry).</summary>
    public bool Smep { get; init; } = true;

    /// <summary>The kernel cannot touch user pages outside of <see cref="CpuUser.UserAccess"/> (CR4.SMAP, arm64 PAN).</summary>
    public bool Smap { get; init; } = true;

    /// <summary>Read-only pages are read-only for the kernel too (CR0.WP; always on arm64).</summary>
    public bool WriteProtect { get; init; } = true;

    /// <summary>The no-execute bit works (EFER.NXE); without it the bit is reserved.</summary>
    public bool NoExecute { get; init; } = true;

    /// <summary>The direct map uses 1 GiB pages where possible (<c>gbpages</c>, on unless <c>nogbpages</c>).</summary>
    public bool GigabytePages { get; init; } = true;

    /// <summary>Compares every TLB hit with the page tables and reports those that are stale. Slow.</summary>
    public bool CheckStaleEntries { get; init; }

    /// <summary>Cycles.</summary>
    public MemoryCosts Costs { get; init; } = MemoryCosts.Default;

    /// <summary>The data caches between CPU and memory; null for none, the default: an access then costs <see cref="MemoryCosts.AverageAccessCycles"/>.</summary>
    public CacheGeometry? DataCache { get; init; }

    /// <summary>Pages up to which a range is flushed page by page (<c>tlb_single_page_flush_ceiling</c>).</summary>
    public int SinglePageFlushCeiling { get; init; } = 33;

    /// <summary>Seed of random TLB replacement.</summary>
    public uint Seed { get; init; } = 1;
}

/// <summary>What things cost, in CPU cycles.</summary>
public sealed record MemoryCosts
{
    /// <summary>Roughly a server CPU of 2019.</summary>
    public static MemoryCosts Default { get; } = new();

    /// <summary>Beyond the access itself, an L1 TLB hit: hidden by the cache access.</summary>
    public int L1TlbHitCycles { get; init; }

    /// <summary>An L2 TLB hit.</summary>
    public int L2TlbHitCycles { get; init; } = 7;

    /// <summary>Reading an entry of a page table when no data cache is simulated.</summary>
    public int WalkStepCycles { get; init; } = 16;

    /// <summary>A data access when no data cache is simulated: an average over hits and misses, for memory of the own node.</summary>
    public int AverageAccessCycles { get; init; } = 10;

    /// <summary>L1 data cache hit.</summary>
    public int L1CacheCycles { get; init; } = 4;

    /// <summary>L2 cache hit.</summary>
    public int L2CacheCycles { get; init; } = 14;

    /// <summary>Last-level cache hit.</summary>
    public int LastLevelCacheCycles { get; init; } = 50;

    /// <summary>Memory of the own node; of another node in proportion to the distance (10 is local).</summary>
    public int DramCycles { get; init; } = 200;

    /// <summary>Flushing one page from the own TLB.</summary>
    public int FlushPageCycles { get; init; } = 100;

    /// <summary>Flushing an address space or everything.</summary>
    public int FlushAllCycles { get; init; } = 250;

    /// <summary>Sending interrupts for a shootdown and waiting for the answers.</summary>
    public int InterruptSendCycles { get; init; } = 1500;

    /// <summary>Being interrupted for a shootdown.</summary>
    public int InterruptReceiveCycles { get; init; } = 1000;

    /// <summary>Loading another address space.</summary>
    public int SwitchCycles { get; init; } = 200;
}

/// <summary>A cache hierarchy. Sizes are in bytes; lines have 64 bytes.</summary>
/// <param name="L1Bytes">L1 data cache.</param>
/// <param name="L1Ways">Its associativity.</param>
/// <param name="L2Bytes">L2 cache.</param>
/// <param name="L2Ways">Its associativity.</param>
/// <param name="LastLevelBytes">Last-level cache; each CPU simulates its own share.</param>
/// <param name="LastLevelWays">Its associativity.</param>
public sealed record CacheGeometry(int L1Bytes, int L1Ways, int L2Bytes, int L2Ways, int LastLevelBytes, int LastLevelWays)
{
    /// <summary>Skylake: 32 KiB, 256 KiB and 2 MiB of last-level cache per core.</summary>
    public static CacheGeometry Skylake { get; } = new(32 << 10, 8, 256 << 10, 4, 2 << 20, 16);
}
