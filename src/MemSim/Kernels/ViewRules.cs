using System.Collections.Immutable;

namespace MemSim.Kernels;

/// <summary>Which rows files and reports have, and how they are written.</summary>
public sealed record ViewRules
{
    /// <summary>Whose rows the files have.</summary>
    public RowSet Rows { get; init; }

    /// <summary>Whether reports name the user beside the task (<c>UID: 0</c>), and split a task's memory into anonymous, file and shared (known of 6.12, seen from 6.18 on).</summary>
    public bool ReportsNameUser { get; init; }

    /// <summary>How the kernel calls its preemption in reports, behind the version; empty where it does not (<c>PREEMPT(lazy)</c> from 6.18 on).</summary>
    public string ReportPreemption { get; init; } = "";

    /// <summary>Whether <c>page_owner</c> prints frame numbers in hexadecimal, and no longer when the page was freed before (known of 6.12).</summary>
    public bool PageOwnerRecent { get; init; }

    /// <summary>Whether <c>smaps</c> counts pages that KSM merged (<c>KSM</c>), and writes <c>THPeligible</c> to the right (since 6.7, seen in 6.18).</summary>
    public bool SmapsCountsKsm { get; init; }

    /// <summary>Whether each size of huge pages has a folder of its own below <c>transparent_hugepage</c> (6.8, seen in 6.12).</summary>
    public bool HugePagesBySize { get; init; }

    /// <summary>To how many digits the number of a cgroup is padded in <c>/sys/kernel/debug/lru_gen</c> (5; 7.3 does not pad).</summary>
    public int LruGenIdWidth { get; init; } = 5;

    /// <summary>Files of <c>/proc/sys/vm</c> that 6.1 does not have.</summary>
    public ImmutableSortedSet<string> AddedSysctls { get; init; } = ImmutableSortedSet<string>.Empty;

    /// <summary>Rows of <c>vmstat</c>, <c>zoneinfo</c> and <c>meminfo</c> that Debian's build has and this one lacks: options of the build decide (<see cref="KernelPersonality.WithoutOptions"/>), of a captured machine its files.</summary>
    public ImmutableSortedSet<string> AbsentRows { get; init; } = ImmutableSortedSet<string>.Empty;

    /// <summary>Files of <c>/proc/sys/vm</c> that Debian's build has and this one lacks.</summary>
    public ImmutableSortedSet<string> AbsentSysctls { get; init; } = ImmutableSortedSet<string>.Empty;

    /// <summary>Whether the boot log counts as <c>Total pages</c> all pages present, not those that memory maps and the like leave (6.12).</summary>
    public bool TotalPagesArePresent { get; init; }

    /// <summary>Whether the boot log tells of zonelists after the hash tables, and of the memory available after the allocators are up (6.12).</summary>
    public bool ZonelistsAfterTables { get; init; }

    /// <summary>Whether the boot log tells of bounce buffers before zonelists, and of a node's memory from the first page on that the kernel uses (seen from 6.18 on).</summary>
    public bool BounceBuffersBeforeZonelists { get; init; }

    /// <summary>Whether the boot log's map of memory says <c>System RAM</c> and <c>device reserved</c> for usable and reserved ranges, and prints the gaps between ranges (seen from 7.0 on).</summary>
    public bool FirmwareMapHasGaps { get; init; }
}

/// <summary>The kernels with which rows of <c>zoneinfo</c>, <c>vmstat</c>, <c>meminfo</c> and of reports came, went or moved; each has those before it, too.</summary>
public enum RowSet
{
    /// <summary>6.1.</summary>
    Of6_1,

    /// <summary>6.12: promo watermark, <c>nr_iommu_pages</c>, <c>nr_unaccepted</c>, demotions by node, khugepaged's reclaim.</summary>
    Of6_12,

    /// <summary>6.18: <c>nr_free_pages_blocks</c>, bounds of per-CPU limits, <c>nr_hugetlb</c>, <c>Balloon</c>; <c>nr_bounce</c> and <c>nr_writeback_temp</c> are gone.</summary>
    Of6_18,

    /// <summary>7.0: the reserve of high-order atomic requests in <c>zoneinfo</c>, memory protection of cgroups in reports.</summary>
    Of7_0,

    /// <summary>7.1: reclaim's counts by node instead of among the events, <c>nr_vmalloc</c>, memory of graphics.</summary>
    Of7_1,

    /// <summary>7.3: <c>pgrotate_*</c>, <c>nrswpin</c>, <c>nrswpout</c>.</summary>
    Of7_3,
}
