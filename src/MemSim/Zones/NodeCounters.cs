namespace MemSim;

/// <summary>The per-node counters of <c>/proc/zoneinfo</c> and <c>/proc/vmstat</c> that subsystems above the page allocator change (<c>enum node_stat_item</c>), in pages where nothing else is said.</summary>
/// <remarks>Exact at any time: there are no per-CPU parts to fold.</remarks>
public sealed class NodeCounters
{
    /// <summary>Pages that the slab layer itself took for caches that can be shrunk; changed by it alone.</summary>
    internal long TakenSlabReclaimable;

    /// <summary>Those it took for other caches and for large objects.</summary>
    internal long TakenSlabUnreclaimable;

    // What a restored state had besides.
    private long _slabReclaimable;
    private long _slabUnreclaimable;

    /// <summary>Pages on the inactive list of anonymous memory (<c>nr_inactive_anon</c>).</summary>
    public long InactiveAnon { get; internal set; }

    /// <summary>Pages on the active list of anonymous memory (<c>nr_active_anon</c>).</summary>
    public long ActiveAnon { get; internal set; }

    /// <summary>Pages on the inactive list of file memory (<c>nr_inactive_file</c>).</summary>
    public long InactiveFile { get; internal set; }

    /// <summary>Pages on the active list of file memory (<c>nr_active_file</c>).</summary>
    public long ActiveFile { get; internal set; }

    /// <summary>Pages that reclaim cannot take (<c>nr_unevictable</c>).</summary>
    public long Unevictable { get; internal set; }

    /// <summary>Pages of slab caches that can be shrunk (<c>nr_slab_reclaimable</c>).</summary>
    public long SlabReclaimable
    {
        get => _slabReclaimable + Volatile.Read(ref TakenSlabReclaimable);
        internal set => _slabReclaimable = value - Volatile.Read(ref TakenSlabReclaimable);
    }

    /// <summary>Pages of slab caches that cannot be shrunk (<c>nr_slab_unreclaimable</c>).</summary>
    public long SlabUnreclaimable
    {
        get => _slabUnreclaimable + Volatile.Read(ref TakenSlabUnreclaimable);
        internal set => _slabUnreclaimable = value - Volatile.Read(ref TakenSlabUnreclaimable);
    }

    /// <summary>Anonymous pages taken off their list for a moment (<c>nr_isolated_anon</c>).</summary>
    public long IsolatedAnon { get; internal set; }

    /// <summary>File pages taken off their list for a moment (<c>nr_isolated_file</c>).</summary>
    public long IsolatedFile { get; internal set; }

    /// <summary>Page cache tree nodes that hold only shadows (<c>workingset_nodes</c>).</summary>
    public long WorkingsetNodes { get; internal set; }

    /// <summary>Anonymous pages that came back soon after they were reclaimed (<c>workingset_refault_anon</c>).</summary>
    public long WorkingsetRefaultAnon { get; internal set; }

    /// <summary>File pages that came back soon after they were reclaimed (<c>workingset_refault_file</c>).</summary>
    public long WorkingsetRefaultFile { get; internal set; }

    /// <summary>Refaulted anonymous pages put on the active list (<c>workingset_activate_anon</c>).</summary>
    public long WorkingsetActivateAnon { get; internal set; }

    /// <summary>Refaulted file pages put on the active list (<c>workingset_activate_file</c>).</summary>
    public long WorkingsetActivateFile { get; internal set; }

    /// <summary>Refaulted anonymous pages that had been active before (<c>workingset_restore_anon</c>).</summary>
    public long WorkingsetRestoreAnon { get; internal set; }

    /// <summary>Refaulted file pages that had been active before (<c>workingset_restore_file</c>).</summary>
    public long WorkingsetRestoreFile { get; internal set; }

    /// <summary>Shadow nodes reclaimed (<c>workingset_nodereclaim</c>).</summary>
    public long WorkingsetNodeReclaim { get; internal set; }

    /// <summary>Mapped anonymous pages (<c>nr_anon_pages</c>).</summary>
    public long AnonPages { get; internal set; }

    /// <summary>Pages of files that page tables map (<c>nr_mapped</c>).</summary>
    public long Mapped { get; internal set; }

    /// <summary>Pages in the page cache, swap cache included (<c>nr_file_pages</c>).</summary>
    public long FilePages { get; internal set; }

    /// <summary>Pages that must be written back (<c>nr_dirty</c>).</summary>
    public long Dirty { get; internal set; }

    /// <summary>Pages being written back (<c>nr_writeback</c>).</summary>
    public long Writeback { get; internal set; }

    /// <summary>Pages being written back through temporary buffers (<c>nr_writeback_temp</c>).</summary>
    public long WritebackTemp { get; internal set; }

    /// <summary>Pages of shared memory and tmpfs (<c>nr_shmem</c>).</summary>
    public long Shmem { get; internal set; }

    /// <summary>Base pages of huge pages of shared memory (printed in huge pages) (<c>nr_shmem_hugepages</c>).</summary>
    public long ShmemHugePages { get; internal set; }

    /// <summary>Base pages of shared memory mapped as huge pages (printed in huge pages) (<c>nr_shmem_pmdmapped</c>).</summary>
    public long ShmemPmdMapped { get; internal set; }

    /// <summary>Base pages of huge pages of files (printed in huge pages) (<c>nr_file_hugepages</c>).</summary>
    public long FileHugePages { get; internal set; }

    /// <summary>Base pages of files mapped as huge pages (printed in huge pages) (<c>nr_file_pmdmapped</c>).</summary>
    public long FilePmdMapped { get; internal set; }

    /// <summary>Base pages of anonymous huge pages (printed in huge pages) (<c>nr_anon_transparent_hugepages</c>).</summary>
    public long AnonHugePages { get; internal set; }

    /// <summary>Pages that reclaim wrote out (<c>nr_vmscan_write</c>).</summary>
    public long VmscanWrite { get; internal set; }

    /// <summary>Pages to be reclaimed as soon as they are written (<c>nr_vmscan_immediate_reclaim</c>).</summary>
    public long VmscanImmediateReclaim { get; internal set; }

    /// <summary>Pages that became dirty since the boot (<c>nr_dirtied</c>).</summary>
    public long Dirtied { get; internal set; }

    /// <summary>Pages written since the boot (<c>nr_written</c>).</summary>
    public long Written { get; internal set; }

    /// <summary>Pages written while reclaim was throttled (<c>nr_throttled_written</c>).</summary>
    public long ThrottledWritten { get; internal set; }

    /// <summary>Other kernel pages that can be reclaimed (<c>nr_kernel_misc_reclaimable</c>).</summary>
    public long KernelMiscReclaimable { get; internal set; }

    /// <summary>Pages pinned for direct access since the boot (<c>nr_foll_pin_acquired</c>).</summary>
    public long FollPinAcquired { get; internal set; }

    /// <summary>Pins of pages given back since the boot (<c>nr_foll_pin_released</c>).</summary>
    public long FollPinReleased { get; internal set; }

    /// <summary>Kernel stacks, in KiB (<c>nr_kernel_stack</c>).</summary>
    public long KernelStackKiB { get; internal set; }

    /// <summary>Pages of page tables (<c>nr_page_table_pages</c>).</summary>
    public long PageTables { get; internal set; }

    /// <summary>Pages of secondary page tables (virtual machines) (<c>nr_sec_page_table_pages</c>).</summary>
    public long SecPageTables { get; internal set; }

    /// <summary>Pages of vmalloc areas (7.1) (<c>nr_vmalloc</c>).</summary>
    public long VmallocPages { get; internal set; }

    /// <summary>Pages that would move to a faster node but for the rate limit (6.18) (<c>pgpromote_candidate_nrl</c>).</summary>
    public long PromoteCandidateNoLimit { get; internal set; }

    /// <summary>Pages moved to a slower node on request since the boot (6.18) (<c>pgdemote_proactive</c>).</summary>
    public long DemoteProactive { get; internal set; }

    /// <summary>Pages that kswapd reclaimed since the boot (by node since 7.1) (<c>pgsteal_kswapd</c>).</summary>
    public long StealKswapd { get; internal set; }

    /// <summary>Pages that direct reclaim took (by node since 7.1) (<c>pgsteal_direct</c>).</summary>
    public long StealDirect { get; internal set; }

    /// <summary>Pages reclaimed for khugepaged (by node since 7.1) (<c>pgsteal_khugepaged</c>).</summary>
    public long StealKhugepaged { get; internal set; }

    /// <summary>Pages reclaimed on request (by node since 7.1) (<c>pgsteal_proactive</c>).</summary>
    public long StealProactive { get; internal set; }

    /// <summary>Anonymous pages reclaimed (by node since 7.1) (<c>pgsteal_anon</c>).</summary>
    public long StealAnon { get; internal set; }

    /// <summary>File pages reclaimed (by node since 7.1) (<c>pgsteal_file</c>).</summary>
    public long StealFile { get; internal set; }

    /// <summary>Pages that kswapd looked at since the boot (by node since 7.1) (<c>pgscan_kswapd</c>).</summary>
    public long ScanKswapd { get; internal set; }

    /// <summary>Pages that direct reclaim looked at (by node since 7.1) (<c>pgscan_direct</c>).</summary>
    public long ScanDirect { get; internal set; }

    /// <summary>Pages looked at for khugepaged (by node since 7.1) (<c>pgscan_khugepaged</c>).</summary>
    public long ScanKhugepaged { get; internal set; }

    /// <summary>Pages looked at on request (by node since 7.1) (<c>pgscan_proactive</c>).</summary>
    public long ScanProactive { get; internal set; }

    /// <summary>Anonymous pages looked at (by node since 7.1) (<c>pgscan_anon</c>).</summary>
    public long ScanAnon { get; internal set; }

    /// <summary>File pages looked at (by node since 7.1) (<c>pgscan_file</c>).</summary>
    public long ScanFile { get; internal set; }

    /// <summary>Anonymous pages that reclaim looked at and put back (7.3) (<c>pgrotate_anon</c>): what it looked at without what it freed, on the page in every recording.</summary>
    public long RotateAnon => ScanAnon - StealAnon;

    /// <summary>File pages that reclaim looked at and put back (7.3) (<c>pgrotate_file</c>).</summary>
    public long RotateFile => ScanFile - StealFile;

    /// <summary>Active pages looked at to refill inactive lists (by node since 7.1) (<c>pgrefill</c>).</summary>
    public long Refill { get; internal set; }

    /// <summary>Pages of huge pages of pools in use (6.18) (<c>nr_hugetlb</c>).</summary>
    public long Hugetlb { get; internal set; }

    /// <summary>Pages given back to the hypervisor (6.18) (<c>nr_balloon_pages</c>).</summary>
    public long BalloonPages { get; internal set; }

    /// <summary>Pages of files that the kernel itself uses (6.18) (<c>nr_kernel_file_pages</c>).</summary>
    public long KernelFilePages { get; internal set; }

    /// <summary>Pages that graphics drivers use (7.1) (<c>nr_gpu_active</c>).</summary>
    public long GpuActive { get; internal set; }

    /// <summary>Pages in pools of graphics drivers that can be reclaimed (7.1) (<c>nr_gpu_reclaim</c>).</summary>
    public long GpuReclaim { get; internal set; }

    /// <summary>Pages of I/O page tables (6.12) (<c>nr_iommu_pages</c>).</summary>
    public long IommuPages { get; internal set; }

    /// <summary>Pages in the swap cache (<c>nr_swapcached</c>).</summary>
    public long SwapCached { get; internal set; }

    /// <summary>Pages promoted to faster memory (<c>pgpromote_success</c>).</summary>
    public long PromoteSuccess { get; internal set; }

    /// <summary>Pages considered for promotion (<c>pgpromote_candidate</c>).</summary>
    public long PromoteCandidate { get; internal set; }

    /// <summary>Pages that kswapd demoted to slower memory (per node since 6.12) (<c>pgdemote_kswapd</c>).</summary>
    public long DemoteKswapd { get; internal set; }

    /// <summary>Pages that direct reclaim demoted (per node since 6.12) (<c>pgdemote_direct</c>).</summary>
    public long DemoteDirect { get; internal set; }

    /// <summary>Pages that khugepaged's reclaim demoted (6.12) (<c>pgdemote_khugepaged</c>).</summary>
    public long DemoteKhugepaged { get; internal set; }

    /// <summary>Rounds in a row in which kswapd reclaimed nothing; from 16 on it gives the node up and zoneinfo says <c>node_unreclaimable: 1</c> (<c>kswapd_failures</c>).</summary>
    public int KswapdFailures { get; internal set; }

    /// <summary>Whether kswapd has given the node up.</summary>
    public bool IsUnreclaimable => KswapdFailures >= 16;

    /// <summary>Counts pages that reclaim looked at.</summary>
    internal void CountScanned(long pages, bool isKswapd, bool file)
    {
        (ScanKswapd, ScanDirect) = isKswapd ? (ScanKswapd + pages, ScanDirect) : (ScanKswapd, ScanDirect + pages);
        (ScanFile, ScanAnon) = file ? (ScanFile + pages, ScanAnon) : (ScanFile, ScanAnon + pages);
    }

    /// <summary>Counts pages that reclaim took.</summary>
    internal void CountStolen(long pages, bool isKswapd, bool file)
    {
        (StealKswapd, StealDirect) = isKswapd ? (StealKswapd + pages, StealDirect) : (StealKswapd, StealDirect + pages);
        (StealFile, StealAnon) = file ? (StealFile + pages, StealAnon) : (StealFile, StealAnon + pages);
    }
}
