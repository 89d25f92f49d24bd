using MemSim.Diagnostics;

namespace MemSim.Reclaim;

/// <summary>Passes the tracepoints of reclaim on to whoever listens.</summary>
internal sealed class ReclaimTracepoints : TraceFanOut<IReclaimTraceSink>, IReclaimTraceSink
{
    public void WakeupKswapd(Cpu cpu, int node, int highestZoneIndex, int order, Gfp gfp)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.WakeupKswapd(cpu, node, highestZoneIndex, order, gfp);
        }
    }

    public void KswapdWake(Cpu cpu, int node, int highestZoneIndex, int order)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.KswapdWake(cpu, node, highestZoneIndex, order);
        }
    }

    public void KswapdSleep(Cpu cpu, int node)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.KswapdSleep(cpu, node);
        }
    }

    public void DirectReclaimBegin(Cpu cpu, int order, Gfp gfp)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.DirectReclaimBegin(cpu, order, gfp);
        }
    }

    public void DirectReclaimEnd(Cpu cpu, long reclaimedPages)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.DirectReclaimEnd(cpu, reclaimedPages);
        }
    }

    public void LruIsolate(Cpu cpu, in LruIsolateEvent e)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.LruIsolate(cpu, e);
        }
    }

    public void LruShrinkInactive(Cpu cpu, in LruShrinkInactiveEvent e)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.LruShrinkInactive(cpu, e);
        }
    }

    public void LruShrinkActive(Cpu cpu, in LruShrinkActiveEvent e)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.LruShrinkActive(cpu, e);
        }
    }

    public void WriteFolio(Cpu cpu, long pfn, bool isFile)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.WriteFolio(cpu, pfn, isFile);
        }
    }

    public void Throttled(Cpu cpu, int node, ReclaimThrottleReason reason)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.Throttled(cpu, node, reason);
        }
    }

    public void ShrinkSlabStart(Cpu cpu, in ShrinkSlabStartEvent e)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.ShrinkSlabStart(cpu, e);
        }
    }

    public void ShrinkSlabEnd(Cpu cpu, in ShrinkSlabEndEvent e)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            sink.ShrinkSlabEnd(cpu, e);
        }
    }
}
