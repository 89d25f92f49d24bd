using MemSim.Statistics;

namespace MemSim.Slab;

/// <summary>Passes the slab layer's tracepoints on to everyone who listens.</summary>
internal sealed class SlabTracepoints : TraceFanOut<ISlabTraceSink>, ISlabTraceSink
{
    public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node) =>
        Pass(cpu, (callSite, ptr, bytesReq, bytesAlloc, gfp, node), static (sink, cpu, in e) => sink.Kmalloc(cpu, e.callSite, e.ptr, e.bytesReq, e.bytesAlloc, e.gfp, e.node));

    public void KmallocNode(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node) =>
        Pass(cpu, (callSite, ptr, bytesReq, bytesAlloc, gfp, node), static (sink, cpu, in e) => sink.KmallocNode(cpu, e.callSite, e.ptr, e.bytesReq, e.bytesAlloc, e.gfp, e.node));

    public void Kfree(Cpu cpu, string callSite, VirtualAddress ptr) =>
        Pass(cpu, (callSite, ptr), static (sink, cpu, in e) => sink.Kfree(cpu, e.callSite, e.ptr));

    public void KmemCacheAlloc(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache, Gfp gfp, int node) =>
        Pass(cpu, (callSite, ptr, cache, gfp, node), static (sink, cpu, in e) => sink.KmemCacheAlloc(cpu, e.callSite, e.ptr, e.cache, e.gfp, e.node));

    public void KmemCacheFree(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache) =>
        Pass(cpu, (callSite, ptr, cache), static (sink, cpu, in e) => sink.KmemCacheFree(cpu, e.callSite, e.ptr, e.cache));
}
