using System.Diagnostics;

namespace MemSim.Statistics;

/// <summary>The events that <c>/proc/vmstat</c> counts, in its order; those counted by zone are apart (<c>enum vm_event_item</c>).</summary>
internal enum VmEvent
{
    PagesIn,
    PagesOut,
    SwapIn,
    SwapOut,
    PagesFreed,
    Activate,
    Deactivate,
    LazyFree,
    Fault,
    MajorFault,
    LazyFreed,
    Refill,
    Reuse,
    StealKswapd,
    StealDirect,
    StealKhugepaged,
    StealProactive,
    DemoteKswapd,
    DemoteDirect,
    ScanKswapd,
    ScanDirect,
    ScanKhugepaged,
    ScanProactive,
    ScanDirectThrottle,
    ScanAnon,
    ScanFile,
    StealAnon,
    StealFile,
    ZoneReclaimSuccess,
    ZoneReclaimFailed,
    InodeSteal,
    SlabsScanned,
    KswapdInodeSteal,
    KswapdLowWmarkHitQuickly,
    KswapdHighWmarkHitQuickly,
    PageOutRun,
    Rotated,
    DropPagecache,
    DropSlab,
    OomKill,
    NumaPteUpdates,
    NumaHugePteUpdates,
    NumaHintFaults,
    NumaHintFaultsLocal,
    NumaPagesMigrated,
    MigrateSuccess,
    MigrateFail,
    ThpMigrationSuccess,
    ThpMigrationFail,
    ThpMigrationSplit,
    CompactMigrateScanned,
    CompactFreeScanned,
    CompactIsolated,
    CompactStall,
    CompactFail,
    CompactSuccess,
    CompactDaemonWake,
    CompactDaemonMigrateScanned,
    CompactDaemonFreeScanned,
    HtlbBuddyAllocSuccess,
    HtlbBuddyAllocFail,
    CmaAllocSuccess,
    CmaAllocFail,
    UnevictablePagesCulled,
    UnevictablePagesScanned,
    UnevictablePagesRescued,
    UnevictablePagesMlocked,
    UnevictablePagesMunlocked,
    UnevictablePagesCleared,
    UnevictablePagesStranded,
    ThpFaultAlloc,
    ThpFaultFallback,
    ThpFaultFallbackCharge,
    ThpCollapseAlloc,
    ThpCollapseAllocFailed,
    ThpFileAlloc,
    ThpFileFallback,
    ThpFileFallbackCharge,
    ThpFileMapped,
    ThpSplitPage,
    ThpSplitPageFailed,
    ThpDeferredSplitPage,
    ThpUnderusedSplitPage,
    ThpSplitPmd,
    ThpScanExceedNonePte,
    ThpScanExceedSwapPte,
    ThpScanExceedSharePte,
    ThpSplitPud,
    ThpZeroPageAlloc,
    ThpZeroPageAllocFailed,
    ThpSwpout,
    ThpSwpoutFallback,
    BalloonInflate,
    BalloonDeflate,
    BalloonMigrate,
    SwapRa,
    SwapRaHit,
    SwapInZero,
    SwapOutZero,
    KsmSwpinCopy,
    CowKsm,
    Zswpin,
    Zswpout,
    Zswpwb,
    DirectMapLevel2Splits,
    DirectMapLevel3Splits,
    DirectMapLevel2Collapses,
    DirectMapLevel3Collapses,
    SwapReads,
    SwapWrites,
}

/// <summary>How often each event happened since the boot.</summary>
/// <remarks>Subsystems count here what the page allocator does not count itself. Safe to call from several threads on a machine with parallel CPUs.</remarks>
internal sealed class VmEvents
{
    /// <summary>The kernel's names, by event, and where the lines exist.</summary>
    public static readonly (string Name, Presence Only)[] Table =
    [
        ("pgpgin", Presence.Always),
        ("pgpgout", Presence.Always),
        ("pswpin", Presence.Always),
        ("pswpout", Presence.Always),
        ("pgfree", Presence.Always),
        ("pgactivate", Presence.Always),
        ("pgdeactivate", Presence.Always),
        ("pglazyfree", Presence.Always),
        ("pgfault", Presence.Always),
        ("pgmajfault", Presence.Always),
        ("pglazyfreed", Presence.Always),
        ("pgrefill", Presence.Before7_1),
        ("pgreuse", Presence.Always),
        ("pgsteal_kswapd", Presence.Before7_1),
        ("pgsteal_direct", Presence.Before7_1),
        ("pgsteal_khugepaged", Presence.Newer | Presence.Before7_1),
        ("pgsteal_proactive", Presence.Since6_18 | Presence.Before7_1),
        ("pgdemote_kswapd", Presence.Older),
        ("pgdemote_direct", Presence.Older),
        ("pgscan_kswapd", Presence.Before7_1),
        ("pgscan_direct", Presence.Before7_1),
        ("pgscan_khugepaged", Presence.Newer | Presence.Before7_1),
        ("pgscan_proactive", Presence.Since6_18 | Presence.Before7_1),
        ("pgscan_direct_throttle", Presence.Always),
        ("pgscan_anon", Presence.Before7_1),
        ("pgscan_file", Presence.Before7_1),
        ("pgsteal_anon", Presence.Before7_1),
        ("pgsteal_file", Presence.Before7_1),
        ("zone_reclaim_success", Presence.Newer),
        ("zone_reclaim_failed", Presence.Numa),
        ("pginodesteal", Presence.Always),
        ("slabs_scanned", Presence.Always),
        ("kswapd_inodesteal", Presence.Always),
        ("kswapd_low_wmark_hit_quickly", Presence.Always),
        ("kswapd_high_wmark_hit_quickly", Presence.Always),
        ("pageoutrun", Presence.Always),
        ("pgrotated", Presence.Always),
        ("drop_pagecache", Presence.Always),
        ("drop_slab", Presence.Always),
        ("oom_kill", Presence.Always),
        ("numa_pte_updates", Presence.Numa),
        ("numa_huge_pte_updates", Presence.Numa),
        ("numa_hint_faults", Presence.Numa),
        ("numa_hint_faults_local", Presence.Numa),
        ("numa_pages_migrated", Presence.Numa),
        ("pgmigrate_success", Presence.Always),
        ("pgmigrate_fail", Presence.Always),
        ("thp_migration_success", Presence.Always),
        ("thp_migration_fail", Presence.Always),
        ("thp_migration_split", Presence.Always),
        ("compact_migrate_scanned", Presence.Always),
        ("compact_free_scanned", Presence.Always),
        ("compact_isolated", Presence.Always),
        ("compact_stall", Presence.Always),
        ("compact_fail", Presence.Always),
        ("compact_success", Presence.Always),
        ("compact_daemon_wake", Presence.Always),
        ("compact_daemon_migrate_scanned", Presence.Always),
        ("compact_daemon_free_scanned", Presence.Always),
        ("htlb_buddy_alloc_success", Presence.Always),
        ("htlb_buddy_alloc_fail", Presence.Always),
        ("cma_alloc_success", Presence.Cma),
        ("cma_alloc_fail", Presence.Cma),
        ("unevictable_pgs_culled", Presence.Always),
        ("unevictable_pgs_scanned", Presence.Always),
        ("unevictable_pgs_rescued", Presence.Always),
        ("unevictable_pgs_mlocked", Presence.Always),
        ("unevictable_pgs_munlocked", Presence.Always),
        ("unevictable_pgs_cleared", Presence.Always),
        ("unevictable_pgs_stranded", Presence.Always),
        ("thp_fault_alloc", Presence.Always),
        ("thp_fault_fallback", Presence.Always),
        ("thp_fault_fallback_charge", Presence.Always),
        ("thp_collapse_alloc", Presence.Always),
        ("thp_collapse_alloc_failed", Presence.Always),
        ("thp_file_alloc", Presence.Always),
        ("thp_file_fallback", Presence.Always),
        ("thp_file_fallback_charge", Presence.Always),
        ("thp_file_mapped", Presence.Always),
        ("thp_split_page", Presence.Always),
        ("thp_split_page_failed", Presence.Always),
        ("thp_deferred_split_page", Presence.Always),
        ("thp_underused_split_page", Presence.Newer),
        ("thp_split_pmd", Presence.Always),
        ("thp_scan_exceed_none_pte", Presence.Always),
        ("thp_scan_exceed_swap_pte", Presence.Always),
        ("thp_scan_exceed_share_pte", Presence.Always),
        ("thp_split_pud", Presence.X86With64Bits),
        ("thp_zero_page_alloc", Presence.Always),
        ("thp_zero_page_alloc_failed", Presence.Always),
        ("thp_swpout", Presence.Always),
        ("thp_swpout_fallback", Presence.Always),
        ("balloon_inflate", Presence.Always),
        ("balloon_deflate", Presence.Always),
        ("balloon_migrate", Presence.Always),
        ("swap_ra", Presence.Always),
        ("swap_ra_hit", Presence.Always),
        ("swpin_zero", Presence.Newer),
        ("swpout_zero", Presence.Newer),
        ("ksm_swpin_copy", Presence.Always),
        ("cow_ksm", Presence.Always),
        ("zswpin", Presence.Always),
        ("zswpout", Presence.Always),
        ("zswpwb", Presence.Newer),
        ("direct_map_level2_splits", Presence.X86),
        ("direct_map_level3_splits", Presence.X86),
        ("direct_map_level2_collapses", Presence.X86 | Presence.Since6_18),
        ("direct_map_level3_collapses", Presence.X86 | Presence.Since6_18),
        ("nrswpin", Presence.Since7_3),
        ("nrswpout", Presence.Since7_3),
    ];

    private readonly long[] _counts = new long[Table.Length];
    private readonly long[] _allocStalls = new long[ZoneTypeNames.Count];
    private readonly long[] _skips = new long[ZoneTypeNames.Count];

    public long this[VmEvent e] => Volatile.Read(ref _counts[(int)e]);

    public void Count(VmEvent e, long times = 1) => Add(ref _counts[(int)e], times);

    /// <summary>Changes a count to what was recorded, by the difference.</summary>
    public void Restore(VmEvent e, long difference) => Interlocked.Add(ref _counts[(int)e], difference);

    /// <summary>Counts on a hot path: without a locked instruction where one thread drives all CPUs.</summary>
    public void CountHere(VmEvent e, bool isParallel)
    {
        if (isParallel)
        {
            Interlocked.Increment(ref _counts[(int)e]);
        }
        else
        {
            _counts[(int)e]++;
        }
    }

    /// <summary>Direct reclaims by requests whose highest usable zone is of a kind (<c>allocstall_*</c>).</summary>
    public long AllocStalls(ZoneType type) => Volatile.Read(ref _allocStalls[(int)type]);

    public void CountAllocStall(ZoneType type) => Interlocked.Increment(ref _allocStalls[(int)type]);

    /// <summary>Pages that reclaim skipped because they were of a zone too high for the request (<c>pgskip_*</c>).</summary>
    public long Skips(ZoneType type) => Volatile.Read(ref _skips[(int)type]);

    public void CountSkips(ZoneType type, long pages) => Add(ref _skips[(int)type], pages);

    private static void Add(ref long count, long times)
    {
        Debug.Assert(times >= 0, "what happened is not taken back");
        Interlocked.Add(ref count, times);
    }
}
