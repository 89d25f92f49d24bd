namespace MemSim;

/// <summary>What a round of compaction, or one look at it, came to: the kernel's <c>enum compact_result</c> with its numbers, as tracepoints carry it.</summary>
public enum CompactionStatus
{
    /// <summary>The zone has free memory in large enough blocks, or too little of it: compaction would not help.</summary>
    NotSuitableZone = 0,

    /// <summary>Not attempted: too little free memory to move pages to.</summary>
    Skipped = 1,

    /// <summary>Not attempted: it failed here recently.</summary>
    Deferred = 2,

    /// <summary>No block of the order is free yet.</summary>
    NoSuitablePage = 3,

    /// <summary>Compaction should start, or go on.</summary>
    Continue = 4,

    /// <summary>The scanners met after the whole zone was scanned.</summary>
    Complete = 5,

    /// <summary>The scanners met after a part of the zone was scanned.</summary>
    PartialSkipped = 6,

    /// <summary>Stopped early because of contention.</summary>
    Contended = 7,

    /// <summary>A block of the order is free.</summary>
    Success = 8,
}

/// <summary>Receives the tracepoints of compaction, page migration and contiguous memory areas (<c>compaction:*</c>, <c>migrate:mm_migrate_pages</c>, <c>cma:*</c>) with the fields of Linux 6.1.</summary>
/// <remarks>Attach it with <see cref="MachineTracing.Attach"/>. Every method does nothing unless implemented; none may call back into the machine.</remarks>
public interface ICompactionTraceSink : ITraceSink
{
    /// <summary><c>mm_compaction_begin</c>: a run over a zone starts.</summary>
    void MmCompactionBegin(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync)
    {
    }

    /// <summary><c>mm_compaction_end</c>: a run over a zone ended.</summary>
    void MmCompactionEnd(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status)
    {
    }

    /// <summary><c>mm_compaction_isolate_migratepages</c>: the migration scanner looked at a range.</summary>
    void MmCompactionIsolateMigratePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken)
    {
    }

    /// <summary><c>mm_compaction_isolate_freepages</c>: the free scanner looked at a range.</summary>
    void MmCompactionIsolateFreePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken)
    {
    }

    /// <summary><c>mm_compaction_migratepages</c>: isolated pages were moved.</summary>
    void MmCompactionMigratePages(Cpu cpu, long migrated, long failed)
    {
    }

    /// <summary><c>mm_compaction_suitable</c>: whether a zone is worth compacting.</summary>
    void MmCompactionSuitable(Cpu cpu, Zone zone, int order, CompactionStatus status)
    {
    }

    /// <summary><c>mm_compaction_finished</c>: whether a run has reached its goal.</summary>
    void MmCompactionFinished(Cpu cpu, Zone zone, int order, CompactionStatus status)
    {
    }

    /// <summary><c>mm_compaction_try_to_compact_pages</c>: a request compacts in its own context.</summary>
    void MmCompactionTryToCompactPages(Cpu cpu, int order, Gfp gfp, CompactionPriority priority)
    {
    }

    /// <summary><c>mm_compaction_deferred</c>: a zone was left out because compaction failed there recently.</summary>
    void MmCompactionDeferred(Cpu cpu, Zone zone, int order)
    {
    }

    /// <summary><c>mm_compaction_defer_compaction</c>: a run failed, the next ones are put off.</summary>
    void MmCompactionDeferCompaction(Cpu cpu, Zone zone, int order)
    {
    }

    /// <summary><c>mm_compaction_defer_reset</c>: a run succeeded.</summary>
    void MmCompactionDeferReset(Cpu cpu, Zone zone, int order)
    {
    }

    /// <summary><c>mm_compaction_wakeup_kcompactd</c>: somebody woke a node's kcompactd.</summary>
    void MmCompactionWakeupKcompactd(Cpu cpu, int node, int order, int highestZoneIndex)
    {
    }

    /// <summary><c>mm_compaction_kcompactd_wake</c>: kcompactd starts to work.</summary>
    void MmCompactionKcompactdWake(Cpu cpu, int node, int order, int highestZoneIndex)
    {
    }

    /// <summary><c>mm_compaction_kcompactd_sleep</c>: kcompactd goes to sleep.</summary>
    void MmCompactionKcompactdSleep(Cpu cpu, int node)
    {
    }

    /// <summary><c>mm_migrate_pages</c>: a list of pages was migrated.</summary>
    void MmMigratePages(Cpu cpu, long succeeded, long failed, MigrationMode mode, MigrationReason reason)
    {
    }

    /// <summary><c>cma_alloc_start</c>: an allocation from a contiguous memory area begins.</summary>
    void CmaAllocStart(Cpu cpu, string name, long pages, int alignOrder)
    {
    }

    /// <summary><c>cma_alloc_busy_retry</c>: a range could not be cleared, the next one is tried.</summary>
    void CmaAllocBusyRetry(Cpu cpu, string name, long pfn, long pages, int alignOrder)
    {
    }

    /// <summary><c>cma_alloc_finish</c>: an allocation ended; a frame number of -1 means that it failed.</summary>
    void CmaAllocFinish(Cpu cpu, string name, long pfn, long pages, int alignOrder)
    {
    }

    /// <summary><c>cma_release</c>: pages go back to their area.</summary>
    void CmaRelease(Cpu cpu, string name, long pfn, long pages)
    {
    }
}
