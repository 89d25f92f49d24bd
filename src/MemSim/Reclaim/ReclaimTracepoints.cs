using MemSim.Diagnostics;

namespace MemSim.Reclaim;

/// <summary>Passes the tracepoints of reclaim on to whoever listens.</summary>
internal sealed class ReclaimTracepoints : TraceFanOut<IReclaimTraceSink>, IReclaimTraceSink
{
    public void WakeupKswapd(Cpu cpu, int node, int highestZoneIndex, int order, Gfp gfp)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.WakeupKswapd(cpu, node, highestZoneIndex, order, gfp);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void KswapdWake(Cpu cpu, int node, int highestZoneIndex, int order)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.KswapdWake(cpu, node, highestZoneIndex, order);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void KswapdSleep(Cpu cpu, int node)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.KswapdSleep(cpu, node);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void DirectReclaimBegin(Cpu cpu, int order, Gfp gfp)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.DirectReclaimBegin(cpu, order, gfp);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void DirectReclaimEnd(Cpu cpu, long reclaimedPages)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.DirectReclaimEnd(cpu, reclaimedPages);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void LruIsolate(Cpu cpu, in LruIsolateEvent e)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.LruIsolate(cpu, e);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void LruShrinkInactive(Cpu cpu, in LruShrinkInactiveEvent e)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.LruShrinkInactive(cpu, e);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void LruShrinkActive(Cpu cpu, in LruShrinkActiveEvent e)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.LruShrinkActive(cpu, e);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void WriteFolio(Cpu cpu, long pfn, bool isFile)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.WriteFolio(cpu, pfn, isFile);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void Throttled(Cpu cpu, int node, ReclaimThrottleReason reason)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.Throttled(cpu, node, reason);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void ShrinkSlabStart(Cpu cpu, in ShrinkSlabStartEvent e)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.ShrinkSlabStart(cpu, e);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void ShrinkSlabEnd(Cpu cpu, in ShrinkSlabEndEvent e)
    {
        foreach (IReclaimTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.ShrinkSlabEnd(cpu, e);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }
}
