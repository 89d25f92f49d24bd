using MemSim.Statistics;

namespace MemSim.Observability;

/// <summary>The names of the counters, in the order in which zoneinfo and vmstat print them.</summary>
internal static class CounterTable
{
    /// <summary>The per-node counters.</summary>
    public static readonly NodeRow[] Node =
    [
        new("nr_inactive_anon", static n => n.InactiveAnon),
        new("nr_active_anon", static n => n.ActiveAnon),
        new("nr_inactive_file", static n => n.InactiveFile),
        new("nr_active_file", static n => n.ActiveFile),
        new("nr_unevictable", static n => n.Unevictable),
        new("nr_slab_reclaimable", static n => n.SlabReclaimable),
        new("nr_slab_unreclaimable", static n => n.SlabUnreclaimable),
        new("nr_isolated_anon", static n => n.IsolatedAnon),
        new("nr_isolated_file", static n => n.IsolatedFile),
        new("workingset_nodes", static n => n.WorkingsetNodes),
        new("workingset_refault_anon", static n => n.WorkingsetRefaultAnon),
        new("workingset_refault_file", static n => n.WorkingsetRefaultFile),
        new("workingset_activate_anon", static n => n.WorkingsetActivateAnon),
        new("workingset_activate_file", static n => n.WorkingsetActivateFile),
        new("workingset_restore_anon", static n => n.WorkingsetRestoreAnon),
        new("workingset_restore_file", static n => n.WorkingsetRestoreFile),
        new("workingset_nodereclaim", static n => n.WorkingsetNodeReclaim),
        new("nr_anon_pages", static n => n.AnonPages),
        new("nr_mapped", static n => n.Mapped),
        new("nr_file_pages", static n => n.FilePages),
        new("nr_dirty", static n => n.Dirty),
        new("nr_writeback", static n => n.Writeback),
        new("nr_writeback_temp", static n => n.WritebackTemp, Only: Presence.Before6_18),
        new("nr_shmem", static n => n.Shmem),
        new("nr_shmem_hugepages", static n => n.ShmemHugePages, InHugePages: true),
        new("nr_shmem_pmdmapped", static n => n.ShmemPmdMapped, InHugePages: true),
        new("nr_file_hugepages", static n => n.FileHugePages, InHugePages: true),
        new("nr_file_pmdmapped", static n => n.FilePmdMapped, InHugePages: true),
        new("nr_anon_transparent_hugepages", static n => n.AnonHugePages, InHugePages: true),
        new("nr_vmscan_write", static n => n.VmscanWrite),
        new("nr_vmscan_immediate_reclaim", static n => n.VmscanImmediateReclaim),
        new("nr_dirtied", static n => n.Dirtied),
        new("nr_written", static n => n.Written),
        new("nr_throttled_written", static n => n.ThrottledWritten),
        new("nr_kernel_misc_reclaimable", static n => n.KernelMiscReclaimable),
        new("nr_foll_pin_acquired", static n => n.FollPinAcquired),
        new("nr_foll_pin_released", static n => n.FollPinReleased),
        new("nr_vmalloc", static n => n.VmallocPages, Only: Presence.Since7_1),
        new("nr_kernel_stack", static n => n.KernelStackKiB),
        new("nr_page_table_pages", static n => n.PageTables),
        new("nr_sec_page_table_pages", static n => n.SecPageTables),
        new("nr_iommu_pages", static n => n.IommuPages, Only: Presence.Newer),
        new("nr_swapcached", static n => n.SwapCached),
        new("pgpromote_success", static n => n.PromoteSuccess, Only: Presence.Numa),
        new("pgpromote_candidate", static n => n.PromoteCandidate, Only: Presence.Numa),
        new("pgpromote_candidate_nrl", static n => n.PromoteCandidateNoLimit, Only: Presence.Numa | Presence.Since6_18),
        new("pgdemote_kswapd", static n => n.DemoteKswapd, Only: Presence.Newer),
        new("pgdemote_direct", static n => n.DemoteDirect, Only: Presence.Newer),
        new("pgdemote_khugepaged", static n => n.DemoteKhugepaged, Only: Presence.Newer),
        new("pgdemote_proactive", static n => n.DemoteProactive, Only: Presence.Since6_18),
        new("pgsteal_kswapd", static n => n.StealKswapd, Only: Presence.Since7_1),
        new("pgsteal_direct", static n => n.StealDirect, Only: Presence.Since7_1),
        new("pgsteal_khugepaged", static n => n.StealKhugepaged, Only: Presence.Since7_1),
        new("pgsteal_proactive", static n => n.StealProactive, Only: Presence.Since7_1),
        new("pgsteal_anon", static n => n.StealAnon, Only: Presence.Since7_1),
        new("pgsteal_file", static n => n.StealFile, Only: Presence.Since7_1),
        new("pgscan_kswapd", static n => n.ScanKswapd, Only: Presence.Since7_1),
        new("pgscan_direct", static n => n.ScanDirect, Only: Presence.Since7_1),
        new("pgscan_khugepaged", static n => n.ScanKhugepaged, Only: Presence.Since7_1),
        new("pgscan_proactive", static n => n.ScanProactive, Only: Presence.Since7_1),
        new("pgscan_anon", static n => n.ScanAnon, Only: Presence.Since7_1),
        new("pgscan_file", static n => n.ScanFile, Only: Presence.Since7_1),
        new("pgrotate_anon", static n => n.RotateAnon, Only: Presence.Since7_3),
        new("pgrotate_file", static n => n.RotateFile, Only: Presence.Since7_3),
        new("pgrefill", static n => n.Refill, Only: Presence.Since7_1),
        new("nr_hugetlb", static n => n.Hugetlb, Only: Presence.Since6_18),
        new("nr_balloon_pages", static n => n.BalloonPages, Only: Presence.Since6_18),
        new("nr_kernel_file_pages", static n => n.KernelFilePages, Only: Presence.Since6_18),
        new("nr_gpu_active", static n => n.GpuActive, Only: Presence.Since7_1),
        new("nr_gpu_reclaim", static n => n.GpuReclaim, Only: Presence.Since7_1),
    ];

    /// <summary>The per-zone counters after <c>nr_free_pages</c>.</summary>
    public static readonly ZoneRow[] Zone =
    [
        new("nr_free_pages_blocks", static z => Math.Max(0, z.FreePageblockPages), Presence.Since6_18),
        new("nr_zone_inactive_anon", static z => z.Counters.InactiveAnon),
        new("nr_zone_active_anon", static z => z.Counters.ActiveAnon),
        new("nr_zone_inactive_file", static z => z.Counters.InactiveFile),
        new("nr_zone_active_file", static z => z.Counters.ActiveFile),
        new("nr_zone_unevictable", static z => z.Counters.Unevictable),
        new("nr_zone_write_pending", static z => z.Counters.WritePending),
        new("nr_mlock", static z => z.Counters.Mlock),
        new("nr_bounce", static z => z.Counters.Bounce, Presence.Before6_18),
        new("nr_zspages", static z => z.Counters.ZsPages),
        new("nr_free_cma", static z => Math.Max(0, z.FreeCmaPages)),
        new("nr_unaccepted", static _ => 0, Presence.Newer | Presence.X86With64Bits),
        new("numa_hit", static z => z.Pcp.Sum(p => p.NumaHit), Presence.Numa),
        new("numa_miss", static z => z.Pcp.Sum(p => p.NumaMiss), Presence.Numa),
        new("numa_foreign", static z => z.Pcp.Sum(p => p.NumaForeign), Presence.Numa),
        new("numa_interleave", static z => z.Pcp.Sum(p => p.NumaInterleave), Presence.Numa),
        new("numa_local", static z => z.Pcp.Sum(p => p.NumaLocal), Presence.Numa),
        new("numa_other", static z => z.Pcp.Sum(p => p.NumaOther), Presence.Numa),
    ];

    /// <summary>A per-node counter.</summary>
    /// <param name="Name">The kernel's name.</param>
    /// <param name="Read">Its value.</param>
    /// <param name="InHugePages">Whether the files print it in huge pages though it counts base pages.</param>
    /// <param name="Only">Where it exists.</param>
    public sealed record NodeRow(string Name, Func<NodeCounters, long> Read, bool InHugePages = false, Presence Only = Presence.Always)
    {
        /// <summary>The value as printed; a counter that is below 0 for a moment is printed as 0.</summary>
        public long Printed(Machine machine, NodeCounters counters) => Math.Max(0, Read(counters)) / (InHugePages ? KernelBuild.HugePagePages(machine) : 1);
    }

    /// <summary>A per-zone counter.</summary>
    /// <param name="Name">The kernel's name.</param>
    /// <param name="Read">Its value.</param>
    /// <param name="Only">Where it exists.</param>
    public sealed record ZoneRow(string Name, Func<Zone, long> Read, Presence Only = Presence.Always);
}
