using MemSim.Statistics;

namespace MemSim.Migration;

/// <summary>Passes the tracepoints of compaction, migration and CMA on to whoever listens.</summary>
internal sealed class CompactionTracepoints : TraceFanOut<ICompactionTraceSink>, ICompactionTraceSink
{
    public void MmCompactionBegin(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync) =>
        Pass(cpu, (zoneStart, migratePfn, freePfn, zoneEnd, sync), static (sink, cpu, in e) => sink.MmCompactionBegin(cpu, e.zoneStart, e.migratePfn, e.freePfn, e.zoneEnd, e.sync));

    public void MmCompactionEnd(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status) =>
        Pass(cpu, (zoneStart, migratePfn, freePfn, zoneEnd, sync, status), static (sink, cpu, in e) => sink.MmCompactionEnd(cpu, e.zoneStart, e.migratePfn, e.freePfn, e.zoneEnd, e.sync, e.status));

    public void MmCompactionIsolateMigratePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken) =>
        Pass(cpu, (startPfn, endPfn, scanned, taken), static (sink, cpu, in e) => sink.MmCompactionIsolateMigratePages(cpu, e.startPfn, e.endPfn, e.scanned, e.taken));

    public void MmCompactionIsolateFreePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken) =>
        Pass(cpu, (startPfn, endPfn, scanned, taken), static (sink, cpu, in e) => sink.MmCompactionIsolateFreePages(cpu, e.startPfn, e.endPfn, e.scanned, e.taken));

    public void MmCompactionMigratePages(Cpu cpu, long migrated, long failed) =>
        Pass(cpu, (migrated, failed), static (sink, cpu, in e) => sink.MmCompactionMigratePages(cpu, e.migrated, e.failed));

    public void MmCompactionSuitable(Cpu cpu, Zone zone, int order, CompactionStatus status) =>
        Pass(cpu, (zone, order, status), static (sink, cpu, in e) => sink.MmCompactionSuitable(cpu, e.zone, e.order, e.status));

    public void MmCompactionFinished(Cpu cpu, Zone zone, int order, CompactionStatus status) =>
        Pass(cpu, (zone, order, status), static (sink, cpu, in e) => sink.MmCompactionFinished(cpu, e.zone, e.order, e.status));

    public void MmCompactionTryToCompactPages(Cpu cpu, int order, Gfp gfp, CompactionPriority priority) =>
        Pass(cpu, (order, gfp, priority), static (sink, cpu, in e) => sink.MmCompactionTryToCompactPages(cpu, e.order, e.gfp, e.priority));

    public void MmCompactionDeferred(Cpu cpu, Zone zone, int order) =>
        Pass(cpu, (zone, order), static (sink, cpu, in e) => sink.MmCompactionDeferred(cpu, e.zone, e.order));

    public void MmCompactionDeferCompaction(Cpu cpu, Zone zone, int order) =>
        Pass(cpu, (zone, order), static (sink, cpu, in e) => sink.MmCompactionDeferCompaction(cpu, e.zone, e.order));

    public void MmCompactionDeferReset(Cpu cpu, Zone zone, int order) =>
        Pass(cpu, (zone, order), static (sink, cpu, in e) => sink.MmCompactionDeferReset(cpu, e.zone, e.order));

    public void MmCompactionWakeupKcompactd(Cpu cpu, int node, int order, int highestZoneIndex) =>
        Pass(cpu, (node, order, highestZoneIndex), static (sink, cpu, in e) => sink.MmCompactionWakeupKcompactd(cpu, e.node, e.order, e.highestZoneIndex));

    public void MmCompactionKcompactdWake(Cpu cpu, int node, int order, int highestZoneIndex) =>
        Pass(cpu, (node, order, highestZoneIndex), static (sink, cpu, in e) => sink.MmCompactionKcompactdWake(cpu, e.node, e.order, e.highestZoneIndex));

    public void MmCompactionKcompactdSleep(Cpu cpu, int node) => Pass(cpu, in node, static (sink, cpu, in node) => sink.MmCompactionKcompactdSleep(cpu, node));

    public void MmMigratePages(Cpu cpu, long succeeded, long failed, MigrationMode mode, MigrationReason reason) =>
        Pass(cpu, (succeeded, failed, mode, reason), static (sink, cpu, in e) => sink.MmMigratePages(cpu, e.succeeded, e.failed, e.mode, e.reason));

    public void CmaAllocStart(Cpu cpu, string name, long pages, int alignOrder) =>
        Pass(cpu, (name, pages, alignOrder), static (sink, cpu, in e) => sink.CmaAllocStart(cpu, e.name, e.pages, e.alignOrder));

    public void CmaAllocBusyRetry(Cpu cpu, string name, long pfn, long pages, int alignOrder) =>
        Pass(cpu, (name, pfn, pages, alignOrder), static (sink, cpu, in e) => sink.CmaAllocBusyRetry(cpu, e.name, e.pfn, e.pages, e.alignOrder));

    public void CmaAllocFinish(Cpu cpu, string name, long pfn, long pages, int alignOrder) =>
        Pass(cpu, (name, pfn, pages, alignOrder), static (sink, cpu, in e) => sink.CmaAllocFinish(cpu, e.name, e.pfn, e.pages, e.alignOrder));

    public void CmaRelease(Cpu cpu, string name, long pfn, long pages) =>
        Pass(cpu, (name, pfn, pages), static (sink, cpu, in e) => sink.CmaRelease(cpu, e.name, e.pfn, e.pages));
}
