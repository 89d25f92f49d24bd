using MemSim.Shrinkers;
using MemSim.Statistics;

namespace MemSim.Reclaim;

/// <summary>Passes the tracepoints of reclaim on to whoever listens.</summary>
internal sealed class ReclaimTracepoints : TraceFanOut<IReclaimTraceSink>, IReclaimTraceSink, IShrinkTrace
{
    public void WakeupKswapd(Cpu cpu, int node, int highestZoneIndex, int order, Gfp gfp) =>
        Pass(cpu, (node, highestZoneIndex, order, gfp), static (sink, cpu, in e) => sink.WakeupKswapd(cpu, e.node, e.highestZoneIndex, e.order, e.gfp));

    public void KswapdWake(Cpu cpu, int node, int highestZoneIndex, int order) =>
        Pass(cpu, (node, highestZoneIndex, order), static (sink, cpu, in e) => sink.KswapdWake(cpu, e.node, e.highestZoneIndex, e.order));

    public void KswapdSleep(Cpu cpu, int node) => Pass(cpu, in node, static (sink, cpu, in node) => sink.KswapdSleep(cpu, node));

    public void DirectReclaimBegin(Cpu cpu, int order, Gfp gfp) =>
        Pass(cpu, (order, gfp), static (sink, cpu, in e) => sink.DirectReclaimBegin(cpu, e.order, e.gfp));

    public void DirectReclaimEnd(Cpu cpu, long reclaimedPages) => Pass(cpu, in reclaimedPages, static (sink, cpu, in reclaimedPages) => sink.DirectReclaimEnd(cpu, reclaimedPages));

    public void LruIsolate(Cpu cpu, in LruIsolateEvent e) => Pass(cpu, in e, static (sink, cpu, in e) => sink.LruIsolate(cpu, in e));

    public void LruShrinkInactive(Cpu cpu, in LruShrinkInactiveEvent e) => Pass(cpu, in e, static (sink, cpu, in e) => sink.LruShrinkInactive(cpu, in e));

    public void LruShrinkActive(Cpu cpu, in LruShrinkActiveEvent e) => Pass(cpu, in e, static (sink, cpu, in e) => sink.LruShrinkActive(cpu, in e));

    public void WriteFolio(Cpu cpu, long pfn, bool isFile) =>
        Pass(cpu, (pfn, isFile), static (sink, cpu, in e) => sink.WriteFolio(cpu, e.pfn, e.isFile));

    public void Throttled(Cpu cpu, int node, ReclaimThrottleReason reason) =>
        Pass(cpu, (node, reason), static (sink, cpu, in e) => sink.Throttled(cpu, e.node, e.reason));

    public void ShrinkSlabStart(Cpu cpu, in ShrinkSlabStartEvent e) => Pass(cpu, in e, static (sink, cpu, in e) => sink.ShrinkSlabStart(cpu, in e));

    public void ShrinkSlabEnd(Cpu cpu, in ShrinkSlabEndEvent e) => Pass(cpu, in e, static (sink, cpu, in e) => sink.ShrinkSlabEnd(cpu, in e));
}
