using MemSim.Diagnostics;

namespace MemSim.Slab;

/// <summary>Passes the slab layer's tracepoints on to everyone who listens.</summary>
internal sealed class SlabTracepoints : TraceFanOut<ISlabTraceSink>, ISlabTraceSink
{
    public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node)
    {
        foreach (ISlabTraceSink sink in Sinks)
        {
            sink.Kmalloc(cpu, callSite, ptr, bytesReq, bytesAlloc, gfp, node);
        }
    }

    public void KmallocNode(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node)
    {
        foreach (ISlabTraceSink sink in Sinks)
        {
            sink.KmallocNode(cpu, callSite, ptr, bytesReq, bytesAlloc, gfp, node);
        }
    }

    public void Kfree(Cpu cpu, string callSite, VirtualAddress ptr)
    {
        foreach (ISlabTraceSink sink in Sinks)
        {
            sink.Kfree(cpu, callSite, ptr);
        }
    }

    public void KmemCacheAlloc(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache, Gfp gfp, int node)
    {
        foreach (ISlabTraceSink sink in Sinks)
        {
            sink.KmemCacheAlloc(cpu, callSite, ptr, cache, gfp, node);
        }
    }

    public void KmemCacheFree(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache)
    {
        foreach (ISlabTraceSink sink in Sinks)
        {
            sink.KmemCacheFree(cpu, callSite, ptr, cache);
        }
    }
}
