namespace MemSim.Zones;

/// <summary>How the kernel reads what is written to a file of <c>/proc/sys/vm</c>.</summary>
internal enum VmSysctlKind
{
    /// <summary>One or several 32-bit signed integers (<c>proc_dointvec_minmax</c>).</summary>
    Int,

    /// <summary>A word-sized unsigned integer (<c>proc_doulongvec_minmax</c>).</summary>
    Long,

    /// <summary>A word of text.</summary>
    Text,
}

/// <summary>One file of <c>/proc/sys/vm</c>: what it accepts and what it holds after boot.</summary>
/// <param name="Name">The name of the file.</param>
/// <param name="Kind">How it is read.</param>
/// <param name="Default">The value after boot.</param>
/// <param name="Min">The smallest value accepted.</param>
/// <param name="Max">The largest value accepted.</param>
/// <param name="Clears">The file that writing this one sets to 0: two ways to say the same thing.</param>
internal sealed record VmSysctlRule(string Name, VmSysctlKind Kind, long Default, long Min, long Max, string? Clears = null);

/// <summary>The files of <c>/proc/sys/vm</c> that hold a value, of all kernels: which of them a line has is in <see cref="Kernels.ViewRules.AddedSysctls"/>; no range changed.</summary>
internal static class VmSysctlTable
{
    public const string MinFreeKbytes = "min_free_kbytes";
    public const string WatermarkScaleFactor = "watermark_scale_factor";
    public const string WatermarkBoostFactor = "watermark_boost_factor";
    public const string DefragMode = "defrag_mode";
    public const string LowmemReserveRatio = "lowmem_reserve_ratio";
    public const string PercpuPagelistHighFraction = "percpu_pagelist_high_fraction";

    private const long AnyInt = int.MinValue;

    /// <summary>All files, by name.</summary>
    public static IReadOnlyList<VmSysctlRule> Rules { get; } =
    [
        Long("admin_reserve_kbytes", 8192),
        Int("compact_unevictable_allowed", 1, 0, 1),
        Int("compaction_proactiveness", 20, 0, 100),
        Int(DefragMode, 0, 0, 1),
        Long("dirty_background_bytes", 0, 1, "dirty_background_ratio"),
        Int("dirty_background_ratio", 10, 0, 100, "dirty_background_bytes"),
        Long("dirty_bytes", 0, 2 * PageGeometry.PageSize, "dirty_ratio"),
        Int("dirty_expire_centisecs", 3000, 0),
        Int("dirty_ratio", 20, 0, 100, "dirty_bytes"),
        Int("dirty_writeback_centisecs", 500, AnyInt),
        Int("dirtytime_expire_seconds", 43200, 0),
        Int("enable_soft_offline", 1, 0, 1),
        Int("extfrag_threshold", 500, 0, 1000),
        Int("highmem_is_dirtyable", 0, 0, 1),
        Int("hugetlb_optimize_vmemmap", 0, 0, 1),
        Int("hugetlb_shm_group", 0, AnyInt),
        Int("laptop_mode", 0, AnyInt),
        Int("legacy_va_layout", 0, 0),
        Int(LowmemReserveRatio, 0, AnyInt),
        Int("max_map_count", 65530, 0),
        Int("memfd_noexec", 0, 0, 2),
        Int("memory_failure_early_kill", 0, 0, 1),
        Int("memory_failure_recovery", 1, 0, 1),
        Int(MinFreeKbytes, 1024, 0),
        Int("min_slab_ratio", 5, 0, 100),
        Int("min_unmapped_ratio", 1, 0, 100),
        Long("mmap_min_addr", 65536),
        Int("mmap_rnd_bits", 28, 0, 33),
        Int("mmap_rnd_compat_bits", 8, 0, 16),
        Long("nr_hugepages", 0),
        Long("nr_hugepages_mempolicy", 0),
        Long("nr_overcommit_hugepages", 0),
        Int("numa_stat", 1, 0, 1),
        new("numa_zonelist_order", VmSysctlKind.Text, 0, 0, 0),
        Int("oom_dump_tasks", 1, AnyInt),
        Int("oom_kill_allocating_task", 0, AnyInt),
        Long("overcommit_kbytes", 0, 0, "overcommit_ratio"),
        Int("overcommit_memory", 0, 0, 2),
        Int("overcommit_ratio", 50, AnyInt, clears: "overcommit_kbytes"),
        Int("movable_gigantic_pages", 0, 0, 1),
        Int("page-cluster", 3, 0, 31),
        Int("page_lock_unfairness", 5, 0),
        Int("panic_on_oom", 0, 0, 2),
        Int("panic_on_unrecoverable_memory_failure", 0, 0, 1),
        Int(PercpuPagelistHighFraction, 0, 0),
        Int("stat_interval", 1, AnyInt),
        Int("swappiness", 60, 0, 200),
        Int("unprivileged_userfaultfd", 0, 0, 1),
        Long("user_reserve_kbytes", 131072),
        Int("vdso_enabled", 1, 0, 1),
        Int("vfs_cache_pressure", 100, 0),
        Int("vfs_cache_pressure_denom", 100, 100),
        Int(WatermarkBoostFactor, 15000, 0),
        Int(WatermarkScaleFactor, 10, 1, 3000),
        Int("zone_reclaim_mode", 0, 0),
    ];

    private static VmSysctlRule Int(string name, long value, long min, long max = int.MaxValue, string? clears = null) =>
        new(name, VmSysctlKind.Int, value, min, max, clears);

    private static VmSysctlRule Long(string name, long value, long min = 0, string? clears = null) =>
        new(name, VmSysctlKind.Long, value, min, long.MaxValue, clears);
}
