namespace MemSim.Explorer.Pictures;

/// <content>Reclaim, compaction, the OOM killer.</content>
public sealed partial class Recorder : IReclaimTraceSink, ICompactionTraceSink, IOomTraceSink
{
    /// <summary>Where compaction's two scanners are, from the last scan: what is moved, where it goes; -1 before.</summary>
    public (long Migrate, long Free) Scanners { get; private set; } = (-1, -1);

    /// <summary>The zone's range the scanners went through.</summary>
    public (long Start, long End) ScannedZone { get; private set; }

    /// <inheritdoc/>
    public void WakeupKswapd(Cpu cpu, int node, int highestZoneIndex, int order, Gfp gfp) => Add("mm_vmscan_wakeup_kswapd", -1, order, $"nid={node}");

    /// <inheritdoc/>
    public void KswapdWake(Cpu cpu, int node, int highestZoneIndex, int order)
    {
        KswapdWakes++;
        Add("mm_vmscan_kswapd_wake", -1, order, $"nid={node}");
    }

    /// <inheritdoc/>
    public void KswapdSleep(Cpu cpu, int node) => Add("mm_vmscan_kswapd_sleep", -1, -1, $"nid={node}");

    /// <inheritdoc/>
    public void DirectReclaimBegin(Cpu cpu, int order, Gfp gfp)
    {
        DirectReclaims++;
        Add("mm_vmscan_direct_reclaim_begin", -1, order, string.Empty);
    }

    /// <inheritdoc/>
    public void DirectReclaimEnd(Cpu cpu, long reclaimedPages) => Add("mm_vmscan_direct_reclaim_end", -1, -1, $"nr_reclaimed={reclaimedPages}");

    /// <inheritdoc/>
    public void LruIsolate(Cpu cpu, in LruIsolateEvent e)
    {
        // Too many to list one by one: what came of them follows.
    }

    /// <inheritdoc/>
    public void LruShrinkInactive(Cpu cpu, in LruShrinkInactiveEvent e) => Add("mm_vmscan_lru_shrink_inactive", -1, -1, $"nr_scanned={e.Scanned} nr_reclaimed={e.Reclaimed} {(e.IsFile ? "file" : "anon")}");

    /// <inheritdoc/>
    public void LruShrinkActive(Cpu cpu, in LruShrinkActiveEvent e) => Add("mm_vmscan_lru_shrink_active", -1, -1, $"nr_deactivated={e.Deactivated} {(e.IsFile ? "file" : "anon")}");

    /// <inheritdoc/>
    public void WriteFolio(Cpu cpu, long pfn, bool isFile)
    {
        Add("mm_vmscan_write_folio", pfn, -1, isFile ? "file" : "to swap");
        Changed(pfn);
    }

    /// <inheritdoc/>
    public void Throttled(Cpu cpu, int node, ReclaimThrottleReason reason) => Add("mm_vmscan_throttled", -1, -1, $"reason={reason}");

    /// <inheritdoc/>
    public void ShrinkSlabStart(Cpu cpu, in ShrinkSlabStartEvent e) => Add("mm_shrink_slab_start", -1, -1, e.Shrinker.Name);

    /// <inheritdoc/>
    public void ShrinkSlabEnd(Cpu cpu, in ShrinkSlabEndEvent e) => Add("mm_shrink_slab_end", -1, -1, $"{e.Shrinker.Name} freed {e.Freed}");

    /// <inheritdoc/>
    public void MmCompactionBegin(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync)
    {
        ScannedZone = (zoneStart, zoneEnd);
        Scanners = (migratePfn, freePfn);
        Add("mm_compaction_begin", -1, -1, $"migrate_pfn=0x{migratePfn:x} free_pfn=0x{freePfn:x}");
    }

    /// <inheritdoc/>
    public void MmCompactionEnd(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status)
    {
        Scanners = (migratePfn, freePfn);
        Add("mm_compaction_end", -1, -1, $"migrate_pfn=0x{migratePfn:x} free_pfn=0x{freePfn:x} status={status}");
    }

    /// <inheritdoc/>
    public void MmCompactionIsolateMigratePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken) =>
        Add("mm_compaction_isolate_migratepages", startPfn, -1, $"nr_taken={taken}");

    /// <inheritdoc/>
    public void MmCompactionIsolateFreePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken) =>
        Add("mm_compaction_isolate_freepages", startPfn, -1, $"nr_taken={taken}");

    /// <inheritdoc/>
    public void MmCompactionMigratePages(Cpu cpu, long migrated, long failed) => Add("mm_compaction_migratepages", -1, -1, $"nr_migrated={migrated} nr_failed={failed}");

    /// <inheritdoc/>
    public void MmCompactionSuitable(Cpu cpu, Zone zone, int order, CompactionStatus status)
    {
        // Asked far too often to be worth a line.
    }

    /// <inheritdoc/>
    public void MmCompactionFinished(Cpu cpu, Zone zone, int order, CompactionStatus status)
    {
        // Said by mm_compaction_end too.
    }

    /// <inheritdoc/>
    public void MmCompactionTryToCompactPages(Cpu cpu, int order, Gfp gfp, CompactionPriority priority) => Add("mm_compaction_try_to_compact_pages", -1, order, $"{priority}");

    /// <inheritdoc/>
    public void MmCompactionDeferred(Cpu cpu, Zone zone, int order) => Add("mm_compaction_deferred", -1, order, Of(zone));

    /// <inheritdoc/>
    public void MmCompactionDeferCompaction(Cpu cpu, Zone zone, int order) => Add("mm_compaction_defer_compaction", -1, order, Of(zone));

    /// <inheritdoc/>
    public void MmCompactionDeferReset(Cpu cpu, Zone zone, int order) => Add("mm_compaction_defer_reset", -1, order, Of(zone));

    /// <inheritdoc/>
    public void MmCompactionWakeupKcompactd(Cpu cpu, int node, int order, int highestZoneIndex) => Add("mm_compaction_wakeup_kcompactd", -1, order, $"nid={node}");

    /// <inheritdoc/>
    public void MmCompactionKcompactdWake(Cpu cpu, int node, int order, int highestZoneIndex) => Add("mm_compaction_kcompactd_wake", -1, order, $"nid={node}");

    /// <inheritdoc/>
    public void MmCompactionKcompactdSleep(Cpu cpu, int node) => Add("mm_compaction_kcompactd_sleep", -1, -1, $"nid={node}");

    /// <inheritdoc/>
    public void MmMigratePages(Cpu cpu, long succeeded, long failed, MigrationMode mode, MigrationReason reason)
    {
        Migrated += succeeded;
        Add("mm_migrate_pages", -1, -1, $"nr_succeeded={succeeded} nr_failed={failed} {reason}");
    }

    /// <inheritdoc/>
    public void CmaAllocStart(Cpu cpu, string name, long pages, int alignOrder) => Add("cma_alloc_start", -1, -1, $"{name} count={pages}");

    /// <inheritdoc/>
    public void CmaAllocBusyRetry(Cpu cpu, string name, long pfn, long pages, int alignOrder) => Add("cma_alloc_busy_retry", pfn, -1, $"{name} count={pages}");

    /// <inheritdoc/>
    public void CmaAllocFinish(Cpu cpu, string name, long pfn, long pages, int alignOrder)
    {
        Add("cma_alloc_finish", pfn, -1, $"{name} count={pages}");
        ChangedRange(pfn, pages);
    }

    /// <inheritdoc/>
    public void CmaRelease(Cpu cpu, string name, long pfn, long pages)
    {
        Add("cma_release", pfn, -1, $"{name} count={pages}");
        ChangedRange(pfn, pages);
    }

    /// <inheritdoc/>
    public void MarkVictim(Cpu cpu, in OomVictim victim)
    {
        OomKills++;
        Add("mark_victim", -1, -1, $"pid={victim.Pid} comm={victim.Comm} anon-rss:{victim.AnonRssKiB}kB");
    }

    /// <inheritdoc/>
    public void OomScoreAdjUpdate(Cpu cpu, int pid, string comm, int oomScoreAdj) => Add("oom_score_adj_update", -1, -1, $"pid={pid} comm={comm} oom_score_adj={oomScoreAdj}");

    /// <inheritdoc/>
    public void WakeReaper(Cpu cpu, int pid) => Add("wake_reaper", -1, -1, $"pid={pid}");

    /// <inheritdoc/>
    public void StartTaskReaping(Cpu cpu, int pid) => Add("start_task_reaping", -1, -1, $"pid={pid}");

    /// <inheritdoc/>
    public void FinishTaskReaping(Cpu cpu, int pid) => Add("finish_task_reaping", -1, -1, $"pid={pid}");

    /// <inheritdoc/>
    public void SkipTaskReaping(Cpu cpu, int pid) => Add("skip_task_reaping", -1, -1, $"pid={pid}");

    private static string Of(Zone zone) => $"zone={zone.Name}";

    private void ChangedRange(long pfn, long pages)
    {
        for (long at = pfn; pfn >= 0 && at < pfn + pages; at += 1 << PageGeometry.MaxOrder)
        {
            Changed(at);
        }

        if (pfn >= 0)
        {
            Changed(pfn + pages - 1);
        }
    }
}
