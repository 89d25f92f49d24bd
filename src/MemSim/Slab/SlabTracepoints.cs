using MemSim.Diagnostics;

namespace MemSim.Slab;

/// <summary>Passes the slab layer's tracepoints on to everyone who listens.</summary>
internal sealed class SlabTracepoints : TraceFanOut<ISlabTraceSink>, ISlabTraceSink
{
    public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node)
    {
        foreach (ISlabTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.Kmalloc(cpu, callSite, ptr, bytesReq, bytesAlloc, gfp, node);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void KmallocNode(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node)
    {
        foreach (ISlabTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.KmallocNode(cpu, callSite, ptr, bytesReq, bytesAlloc, gfp, node);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void Kfree(Cpu cpu, string callSite, VirtualAddress ptr)
    {
        foreach (ISlabTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.Kfree(cpu, callSite, ptr);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void KmemCacheAlloc(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache, Gfp gfp, int node)
    {
        foreach (ISlabTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.KmemCacheAlloc(cpu, callSite, ptr, cache, gfp, node);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void KmemCacheFree(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache)
    {
        foreach (ISlabTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.KmemCacheFree(cpu, callSite, ptr, cache);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }
}
