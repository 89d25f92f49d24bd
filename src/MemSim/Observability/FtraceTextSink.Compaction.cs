using System.Globalization;

namespace MemSim;

/// <content>Compaction, migration and contiguous memory areas.</content>
public sealed partial class FtraceTextSink : ICompactionTraceSink
{
    private static readonly string[] Statuses =
        ["not_suitable_zone", "skipped", "deferred", "no_suitable_page", "continue", "complete", "partial_skipped", "contended", "success"];

    private static readonly string[] Modes = ["MIGRATE_ASYNC", "MIGRATE_SYNC_LIGHT", "MIGRATE_SYNC"];

    private static readonly string[] Reasons =
        ["compaction", "memory_failure", "memory_hotplug", "syscall_or_cpuset", "mempolicy_mbind", "numa_misplaced", "contig_range", "longterm_pin", "demotion"];

    /// <inheritdoc/>
    public void MmCompactionBegin(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync) =>
        WriteEvent(cpu, "mm_compaction_begin", 0, Text($"zone_start=0x{zoneStart:x} migrate_pfn=0x{migratePfn:x} free_pfn=0x{freePfn:x} zone_end=0x{zoneEnd:x}, mode={Sync(sync)}"));

    /// <inheritdoc/>
    public void MmCompactionEnd(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status) =>
        WriteEvent(cpu, "mm_compaction_end", 0, Text($"zone_start=0x{zoneStart:x} migrate_pfn=0x{migratePfn:x} free_pfn=0x{freePfn:x} zone_end=0x{zoneEnd:x}, mode={Sync(sync)} status={Statuses[(int)status]}"));

    /// <inheritdoc/>
    public void MmCompactionIsolateMigratePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken) =>
        WriteEvent(cpu, "mm_compaction_isolate_migratepages", 0, Text($"range=(0x{startPfn:x} ~ 0x{endPfn:x}) nr_scanned={scanned} nr_taken={taken}"));

    /// <inheritdoc/>
    public void MmCompactionIsolateFreePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken) =>
        WriteEvent(cpu, "mm_compaction_isolate_freepages", 0, Text($"range=(0x{startPfn:x} ~ 0x{endPfn:x}) nr_scanned={scanned} nr_taken={taken}"));

    /// <inheritdoc/>
    public void MmCompactionMigratePages(Cpu cpu, long migrated, long failed) =>
        WriteEvent(cpu, "mm_compaction_migratepages", 0, Text($"nr_migrated={migrated} nr_failed={failed}"));

    /// <inheritdoc/>
    public void MmCompactionSuitable(Cpu cpu, Zone zone, int order, CompactionStatus status) => WriteStatus(cpu, "mm_compaction_suitable", zone, order, status);

    /// <inheritdoc/>
    public void MmCompactionFinished(Cpu cpu, Zone zone, int order, CompactionStatus status) => WriteStatus(cpu, "mm_compaction_finished", zone, order, status);

    /// <inheritdoc/>
    public void MmCompactionTryToCompactPages(Cpu cpu, int order, Gfp gfp, CompactionPriority priority) =>
        WriteEvent(cpu, "mm_compaction_try_to_compact_pages", 0, Text($"order={order} gfp_mask={GfpText.Format(gfp, _machine.Personality)} priority={(int)priority}"));

    /// <inheritdoc/>
    public void MmCompactionDeferred(Cpu cpu, Zone zone, int order) => WriteDeferral(cpu, "mm_compaction_deferred", zone, order);

    /// <inheritdoc/>
    public void MmCompactionDeferCompaction(Cpu cpu, Zone zone, int order) => WriteDeferral(cpu, "mm_compaction_defer_compaction", zone, order);

    /// <inheritdoc/>
    public void MmCompactionDeferReset(Cpu cpu, Zone zone, int order) => WriteDeferral(cpu, "mm_compaction_defer_reset", zone, order);

    /// <inheritdoc/>
    public void MmCompactionWakeupKcompactd(Cpu cpu, int node, int order, int highestZoneIndex) =>
        WriteEvent(cpu, "mm_compaction_wakeup_kcompactd", 0, Text($"nid={node} order={order} classzone_idx={ZoneName(highestZoneIndex),-8}"));

    /// <inheritdoc/>
    public void MmCompactionKcompactdWake(Cpu cpu, int node, int order, int highestZoneIndex) =>
        WriteEvent(cpu, "mm_compaction_kcompactd_wake", 0, Text($"nid={node} order={order} classzone_idx={ZoneName(highestZoneIndex),-8}"));

    /// <inheritdoc/>
    public void MmCompactionKcompactdSleep(Cpu cpu, int node) => WriteEvent(cpu, "mm_compaction_kcompactd_sleep", 0, Text($"nid={node}"));

    /// <inheritdoc/>
    public void MmMigratePages(Cpu cpu, long succeeded, long failed, MigrationMode mode, MigrationReason reason) =>
        WriteEvent(cpu, "mm_migrate_pages", 0, Text($"nr_succeeded={succeeded} nr_failed={failed} nr_thp_succeeded=0 nr_thp_failed=0 nr_thp_split=0 mode={Modes[(int)mode]} reason={Reasons[(int)reason]}"));

    /// <inheritdoc/>
    public void CmaAllocStart(Cpu cpu, string name, long pages, int alignOrder) => WriteEvent(cpu, "cma_alloc_start", 0, Text($"name={name} count={pages} align={alignOrder}"));

    /// <inheritdoc/>
    public void CmaAllocBusyRetry(Cpu cpu, string name, long pfn, long pages, int alignOrder) =>
        Write(cpu, "cma_alloc_busy_retry", pfn, 0, Text($" count={pages} align={alignOrder} name={name}"));

    /// <inheritdoc/>
    public void CmaAllocFinish(Cpu cpu, string name, long pfn, long pages, int alignOrder) =>
        Write(cpu, "cma_alloc_finish", pfn, 0, Text($" count={pages} align={alignOrder} name={name}"));

    /// <inheritdoc/>
    public void CmaRelease(Cpu cpu, string name, long pfn, long pages) => Write(cpu, "cma_release", pfn, 0, Text($" count={pages} name={name}"));

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string Sync(bool sync) => sync ? "sync" : "async";

    private string ZoneName(int index) => _machine.Architecture.ZoneTypes[index].KernelName();

    private void WriteStatus(Cpu cpu, string name, Zone zone, int order, CompactionStatus status) =>
        WriteEvent(cpu, name, 0, Text($"node={zone.Node.Id} zone={zone.Name,-8} order={order} ret={Statuses[(int)status]}"));

    private void WriteDeferral(Cpu cpu, string name, Zone zone, int order)
    {
        CompactionInfo info = _machine.Compaction.Info(zone);
        WriteEvent(cpu, name, 0, Text($"node={zone.Node.Id} zone={zone.Name,-8} order={order} order_failed={info.OrderFailed} consider={info.Considered} limit={1L << info.DeferShift}"));
    }
}
