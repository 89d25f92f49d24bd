using System.Globalization;

namespace MemSim.Testing;

/// <content>What happens when memory runs short.</content>
public sealed partial class EventRecorder
{
    private sealed class PressureSink(EventRecorder recorder) : IReclaimTraceSink, ICompactionTraceSink, IOomTraceSink, IFaultTraceSink
    {
        public const TraceEvents Wanted = TraceEvents.Reclaim | TraceEvents.Compaction | TraceEvents.Oom | TraceEvents.Faults;

        public void WakeupKswapd(Cpu cpu, int node, int highestZoneIndex, int order, Gfp gfp) => recorder.Add(Event(RecordedKind.WakeupKswapd, cpu) with { Node = node, Order = order, Gfp = gfp });

        public void KswapdWake(Cpu cpu, int node, int highestZoneIndex, int order) => recorder.Add(Event(RecordedKind.KswapdWake, cpu) with { Node = node, Order = order });

        public void KswapdSleep(Cpu cpu, int node) => recorder.Add(Event(RecordedKind.KswapdSleep, cpu) with { Node = node });

        public void DirectReclaimBegin(Cpu cpu, int order, Gfp gfp) => recorder.Add(Event(RecordedKind.DirectReclaimBegin, cpu) with { Order = order, Gfp = gfp });

        public void DirectReclaimEnd(Cpu cpu, long reclaimedPages) => recorder.Add(Event(RecordedKind.DirectReclaimEnd, cpu) with { Pages = reclaimedPages });

        public void LruShrinkInactive(Cpu cpu, in LruShrinkInactiveEvent e) =>
            recorder.Add(Event(RecordedKind.Reclaimed, cpu, e.IsFile ? "file" : "anon") with { Node = e.Node, Pages = e.Reclaimed, Others = e.Scanned });

        public void WriteFolio(Cpu cpu, long pfn, bool isFile) => recorder.Add(Event(RecordedKind.PageWritten, cpu, isFile ? "its file" : "swap") with { Pfn = pfn, Order = 0, Pages = 1 });

        public void Throttled(Cpu cpu, int node, ReclaimThrottleReason reason) => recorder.Add(Event(RecordedKind.ReclaimThrottled, cpu, reason.ToString()) with { Node = node });

        public void MmCompactionBegin(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync) => recorder.Add(Event(RecordedKind.CompactionBegin, cpu) with { Pfn = migratePfn });

        public void MmCompactionEnd(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status) =>
            recorder.Add(Event(RecordedKind.CompactionEnd, cpu, status.ToString()) with { Pfn = migratePfn });

        public void MmCompactionDeferred(Cpu cpu, Zone zone, int order) => recorder.Add(Event(RecordedKind.CompactionDeferred, cpu) with { Node = zone.Node.Id, Order = order });

        public void MmCompactionWakeupKcompactd(Cpu cpu, int node, int order, int highestZoneIndex) => recorder.Add(Event(RecordedKind.WakeupKcompactd, cpu) with { Node = node, Order = order });

        public void MmMigratePages(Cpu cpu, long succeeded, long failed, MigrationMode mode, MigrationReason reason) =>
            recorder.Add(Event(RecordedKind.PagesMigrated, cpu, reason.ToString()) with { Pages = succeeded, Others = failed });

        public void CmaAllocFinish(Cpu cpu, string name, long pfn, long pages, int alignOrder) =>
            recorder.Add(Event(pfn < 0 ? RecordedKind.CmaAllocFailed : RecordedKind.CmaAlloc, cpu, name) with { Pfn = pfn, Pages = pages });

        public void CmaRelease(Cpu cpu, string name, long pfn, long pages) => recorder.Add(Event(RecordedKind.CmaRelease, cpu, name) with { Pfn = pfn, Pages = pages });

        public void PageFaultUser(Cpu cpu, VirtualAddress address, string ip, uint errorCode) => recorder.Add(Fault(cpu, address, ip));

        public void PageFaultKernel(Cpu cpu, VirtualAddress address, string ip, uint errorCode) => recorder.Add(Fault(cpu, address, ip));

        public void MarkVictim(Cpu cpu, in OomVictim victim) => recorder.Add(Event(RecordedKind.OomVictim, cpu, string.Create(CultureInfo.InvariantCulture, $"{victim.Comm}:{victim.Pid}")));

        public void OomScoreAdjUpdate(Cpu cpu, int pid, string comm, int oomScoreAdj)
        {
        }

        public void WakeReaper(Cpu cpu, int pid)
        {
        }

        public void StartTaskReaping(Cpu cpu, int pid)
        {
        }

        public void FinishTaskReaping(Cpu cpu, int pid) => recorder.Add(Event(RecordedKind.OomReaped, cpu, string.Create(CultureInfo.InvariantCulture, $"pid {pid}")));

        public void SkipTaskReaping(Cpu cpu, int pid)
        {
        }

        private static RecordedEvent Fault(Cpu cpu, VirtualAddress address, string ip) => Event(RecordedKind.PageFault, cpu) with { Address = address, CallSite = ip };

        private static RecordedEvent Event(RecordedKind kind, Cpu cpu, string what = "") => new(kind, cpu.Id, cpu.Current.ToString(), "", -1, -1, default, Gfp.None, what);
    }
}
