using System.Collections.Immutable;

namespace MemSim.Kernels;

/// <summary>Rows of <c>/proc</c> files that a kernel has only if it was built with an option: <c>vmstat</c> and <c>zoneinfo</c> in small letters, <c>meminfo</c> with a capital.</summary>
/// <remarks>
/// The lines have the rows of Debian's builds. Which rows belong to an option is known of the kernel's documentation and configurations; a live 6.18.44 without
/// <c>UNACCEPTED_MEMORY</c> and <c>MEMORY_FAILURE</c> lacks exactly the rows named for these two.
/// </remarks>
internal static class BuildOptions
{
    private const string Prefix = "CONFIG_";
    private const string WithoutWord = " without ";

    private static readonly ImmutableArray<BuildOption> Options =
    [
        new("UNACCEPTED_MEMORY", RowSet.Of6_12, Only64BitPcs: true, ["nr_unaccepted", "Unaccepted"]),
        new("MEMORY_FAILURE", RowSet.Of6_1, false, ["HardwareCorrupted"]) { Sysctls = ["memory_failure_early_kill", "memory_failure_recovery", "enable_soft_offline", "panic_on_unrecoverable_memory_failure"] },
        new("NUMA_BALANCING", RowSet.Of6_1, Only64BitPcs: true,
            ["numa_pte_updates", "numa_huge_pte_updates", "numa_hint_faults", "numa_hint_faults_local", "numa_pages_migrated", "pgpromote_success", "pgpromote_candidate", "pgpromote_candidate_nrl"]),
        new("COMPACTION", RowSet.Of6_1, false,
        [
            "compact_migrate_scanned", "compact_free_scanned", "compact_isolated", "compact_stall", "compact_fail", "compact_success", "compact_daemon_wake", "compact_daemon_migrate_scanned",
            "compact_daemon_free_scanned",
        ])
        { Sysctls = ["compact_unevictable_allowed", "compaction_proactiveness", "extfrag_threshold"] },
        new("MIGRATION", RowSet.Of6_1, false, ["pgmigrate_success", "pgmigrate_fail", "thp_migration_success", "thp_migration_fail", "thp_migration_split"]),
        new("HUGETLB_PAGE", RowSet.Of6_1, false,
            ["HugePages_Total", "htlb_buddy_alloc_success", "htlb_buddy_alloc_fail", "nr_hugetlb", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp", "Hugepagesize", "Hugetlb"])
        { Sysctls = ["hugetlb_shm_group", "hugetlb_optimize_vmemmap", "nr_hugepages", "nr_hugepages_mempolicy", "nr_overcommit_hugepages", "movable_gigantic_pages"] },
        new("TRANSPARENT_HUGEPAGE", RowSet.Of6_1, false,
        [
            "thp_fault_alloc", "thp_fault_fallback", "thp_fault_fallback_charge", "thp_collapse_alloc", "thp_collapse_alloc_failed", "thp_file_alloc", "thp_file_fallback", "thp_file_fallback_charge",
            "thp_file_mapped", "thp_split_page", "thp_split_page_failed", "thp_deferred_split_page", "thp_underused_split_page", "thp_split_pmd", "thp_scan_exceed_none_pte", "thp_scan_exceed_swap_pte",
            "thp_scan_exceed_share_pte", "thp_split_pud", "thp_zero_page_alloc", "thp_zero_page_alloc_failed", "thp_swpout", "thp_swpout_fallback", "AnonHugePages", "ShmemHugePages", "ShmemPmdMapped",
            "FileHugePages", "FilePmdMapped",
        ]),
        new("MEMORY_BALLOON", RowSet.Of6_1, false, ["balloon_inflate", "balloon_deflate"]),
        new("BALLOON_COMPACTION", RowSet.Of6_1, false, ["balloon_migrate"]),
        new("SWAP", RowSet.Of6_1, false, ["nr_swapcached", "swap_ra", "swap_ra_hit", "swpin_zero", "swpout_zero"]),
        new("KSM", RowSet.Of6_1, false, ["ksm_swpin_copy", "cow_ksm"]),
        new("ZSWAP", RowSet.Of6_1, false, ["zswpin", "zswpout", "zswpwb", "Zswap", "Zswapped"]),
        new("ZSMALLOC", RowSet.Of6_1, false, ["nr_zspages"]),
        new("IOMMU_SUPPORT", RowSet.Of6_12, false, ["nr_iommu_pages"]),
        new("CMA", RowSet.Of6_1, false, ["CmaTotal", "CmaFree", "cma_alloc_success", "cma_alloc_fail"]) { IsOptionalInDebian = true },
    ];

    /// <summary>The rules of a kernel that was built without some options; the same ones where there are none.</summary>
    /// <param name="line">The rules.</param>
    /// <param name="names">The options, with or without <c>CONFIG_</c>.</param>
    /// <exception cref="ArgumentException">No row depends on an option of that name, as far as is known.</exception>
    public static KernelPersonality Without(KernelPersonality line, IEnumerable<string> names)
    {
        ImmutableSortedSet<string> rows = line.Views.AbsentRows;
        ImmutableSortedSet<string> sysctls = line.Views.AbsentSysctls;
        foreach (string name in names)
        {
            string plain = name.StartsWith(Prefix, StringComparison.Ordinal) ? name[Prefix.Length..] : name;
            BuildOption option = Options.FirstOrDefault(o => o.Name == plain)
                ?? throw new ArgumentException($"no row of a file is known to depend on '{name}'; options known: {string.Join(", ", Options.Select(o => Prefix + o.Name))}", nameof(names));
            rows = rows.Union(option.Rows);
            sysctls = sysctls.Union(option.Sysctls);
        }

        return rows.Count == line.Views.AbsentRows.Count ? line : line with { Views = line.Views with { AbsentRows = rows, AbsentSysctls = sysctls } };
    }

    /// <summary>What a file calls the rules: the line's name, and the options it was built without (<c>6.18 without UNACCEPTED_MEMORY</c>).</summary>
    public static string NameOf(KernelPersonality rules) =>
        rules.Views.AbsentRows.IsEmpty ? rules.Name : rules.Name + WithoutWord + string.Join(' ', Options.Where(o => o.Rows.All(rules.Views.AbsentRows.Contains)).Select(o => o.Name));

    /// <summary>The rules that a file calls so.</summary>
    /// <exception cref="FormatException">There is no version, or an option is not known.</exception>
    public static KernelPersonality Named(string name)
    {
        int options = name.IndexOf(WithoutWord, StringComparison.Ordinal);
        if (options < 0)
        {
            return KernelPersonality.Parse(name);
        }

        try
        {
            return Without(KernelPersonality.Parse(name[..options]), name[(options + WithoutWord.Length)..].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        }
        catch (ArgumentException e)
        {
            throw new FormatException(e.Message, e);
        }
    }

    /// <summary>Whether rules are the same ones, sets of rows compared by what is in them.</summary>
    public static bool AreSame(KernelPersonality one, KernelPersonality other) =>
        one.Views.AbsentRows.SetEquals(other.Views.AbsentRows) && one.Views.AbsentSysctls.SetEquals(other.Views.AbsentSysctls)
        && one.Equals(other with { Views = other.Views with { AbsentRows = one.Views.AbsentRows, AbsentSysctls = one.Views.AbsentSysctls } });

    /// <summary>The options that a kernel was built without, by the rows of its files.</summary>
    /// <param name="line">The kernel's rules: rows that came later say nothing.</param>
    /// <param name="is64BitPc">Whether it is x86 with 64 bits.</param>
    /// <param name="rows">The rows of all files that were read.</param>
    /// <param name="isCovered">Whether a file was read that would have a row.</param>
    public static IEnumerable<string> MissingFrom(KernelPersonality line, bool is64BitPc, IReadOnlySet<string> rows, Predicate<string> isCovered) =>
        Options.Where(o => !o.IsOptionalInDebian && line.Views.Rows >= o.Since && (is64BitPc || !o.Only64BitPcs) && isCovered(o.Rows[0]) && !o.Rows.Any(rows.Contains)).Select(o => o.Name);

    /// <param name="Name">The option, without <c>CONFIG_</c>.</param>
    /// <param name="Since">The rows with which its first row came.</param>
    /// <param name="Only64BitPcs">Whether other architectures do not have it.</param>
    /// <param name="Rows">Its rows; the first is the oldest, and tells whether it is there.</param>
    private sealed record BuildOption(string Name, RowSet Since, bool Only64BitPcs, ImmutableArray<string> Rows)
    {
        /// <summary>Files below <c>/proc/sys/vm</c> that go with it.</summary>
        public ImmutableArray<string> Sysctls { get; init; } = [];

        /// <summary>Whether Debian's own kernels have it on some architectures and lines only: the machine knows.</summary>
        public bool IsOptionalInDebian { get; init; }
    }
}
