namespace MemSim.Kernels;

/// <summary>Reclaim, where kernels differ: which engine, and what the multi-generational LRU does.</summary>
public sealed record ReclaimRules
{
    /// <summary>Whether the kernel has the multi-generational LRU (<c>/sys/kernel/mm/lru_gen</c>), which can be switched on.</summary>
    public bool HasGenerations { get; init; }

    /// <summary>Whether it is on after the boot (<c>CONFIG_LRU_GEN_ENABLED</c>): reclaim then goes by generations instead of active and inactive lists.</summary>
    public bool GenerationsAtBoot { get; init; }

    /// <summary>Into which generation a page comes that nobody used through page tables.</summary>
    public GenerationPlacement NewPages { get; init; }

    /// <summary>What counts as an access through a file descriptor, and what the last tier is.</summary>
    public AccessTiers Tiers { get; init; }

    /// <summary>By generations: whether only pages that were evicted from what is the oldest generation still count as refaults, and none of them as activated (6.1).</summary>
    public bool OnlyOldestRefaults { get; init; }

    /// <summary>By generations: whether a machine that is short of memory passes over a cgroup below its <c>memory.low</c> only every other time (6.3, since cgroups are on a list of their own).</summary>
    public bool SparesLowOnce { get; init; }

    /// <summary>How much a step of eviction looks at, and when generations are aged.</summary>
    public EvictionStep Eviction { get; init; }

    /// <summary>Whether a zone with nothing on its lists counts what is free as reclaimable (since 6.1.124), so that requests go on trying; on 7.3 they do not.</summary>
    public bool EmptyZonesCountFree { get; init; } = true;

    /// <summary>Pages whose places on the lists a CPU changes at a time (<c>PAGEVEC_SIZE</c>: 15, 31 since 6.10).</summary>
    public int ListBatchPages { get; init; } = 15;

    /// <summary>Whether a page that is read back from swap is mapped writable where its entry says that one process has it alone, though nobody writes yet (6.12); else the first write faults.</summary>
    public bool SwapInMapsWritable { get; init; }

    /// <summary>Whether nodes of the swap cache's trees that hold nothing but shadows are given back when memory is short, so that pages that come back then are no refaults (6.3 to 6.17: seen on 6.12; 6.18 keeps shadows with their clusters).</summary>
    public bool ReclaimsSwapShadows { get; init; }

    /// <summary>Whether pages that lose their last reference together are freed in that order, or the last one first (before 6.10).</summary>
    public bool FreesInOrder { get; init; }

    /// <summary>Whether large pages are swapped in one piece to disks that seek, too (since 6.14); else only where a cluster of slots is free.</summary>
    public bool SwapsLargeAnywhere { get; init; }

    /// <summary>The largest order of page in which read-ahead brings files of disks (ext4 since 6.16); 0 for single pages.</summary>
    public int FileFolioOrder { get; init; }

    /// <summary>Pages that read-ahead brings at most from a virtual disk whose <c>read_ahead_kb</c> nobody set (128 KiB; 8 MiB seen from 6.18 on).</summary>
    public int DiskReadAheadPages { get; init; } = 32;
}

/// <summary>The generation of a page that comes onto the lists without having been used through page tables.</summary>
public enum GenerationPlacement
{
    /// <summary>The oldest; anonymous memory the one after it (6.1).</summary>
    Oldest,

    /// <summary>The second oldest while there are more than two; anonymous memory the second youngest, or the youngest when a fault brought it (6.12).</summary>
    SecondOldest,

    /// <summary>Counted from the youngest: pages of files the fourth, or the third if they belong to the working set; anonymous memory the second, faulted in or not (6.18).</summary>
    FromYoungest,
}

/// <summary>How accesses through file descriptors make tiers.</summary>
public enum AccessTiers
{
    /// <summary>Accesses after the first; the second makes the page part of the working set (6.12).</summary>
    BeyondFirst,

    /// <summary>All accesses; the working set is a tier of its own, reached by pages used through page tables or more than four times (6.18).</summary>
    WithWorkingSet,
}

/// <summary>The steps in which eviction goes.</summary>
public enum EvictionStep
{
    /// <summary>Up to 4096 pages are looked at until 64 are found; aged when the young ones are too many or the old ones too few (6.12).</summary>
    Batch,

    /// <summary>As many as the priority allows; aged when two generations are left, and then no more is scanned (6.18).</summary>
    ByPriority,

    /// <summary>As many as the priority allows, 64 at a time, and on after aging (7.3).</summary>
    ByPriorityInBatches,
}
