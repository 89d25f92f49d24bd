namespace MemSim.Slab;

/// <summary>Passes the slab layer's tracepoints on to everyone who listens.</summary>
internal sealed class SlabTracepoints : ISlabTraceSink
{
    private readonly ISlabTraceSink[] _sinks;

    public SlabTracepoints(ISlabTraceSink[] sinks) => _sinks = sinks;

    public SlabTracepoints With(ISlabTraceSink sink) => new([.. _sinks, sink]);

    public SlabTracepoints? Without(ISlabTraceSink sink)
    {
        ISlabTraceSink[] left = [.. _sinks.Where(s => !ReferenceEquals(s, sink))];
        return left.Length == 0 ? null : new SlabTracepoints(left);
    }

    public void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node)
    {
        foreach (ISlabTraceSink sink in _sinks)
        {
            sink.Kmalloc(cpu, callSite, ptr, bytesReq, bytesAlloc, gfp, node);
        }
    }

    public void KmallocNode(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node)
    {
        foreach (ISlabTraceSink sink in _sinks)
        {
            sink.KmallocNode(cpu, callSite, ptr, bytesReq, bytesAlloc, gfp, node);
        }
    }

    public void Kfree(Cpu cpu, string callSite, VirtualAddress ptr)
    {
        foreach (ISlabTraceSink sink in _sinks)
        {
            sink.Kfree(cpu, callSite, ptr);
        }
    }

    public void KmemCacheAlloc(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache, Gfp gfp, int node)
    {
        foreach (ISlabTraceSink sink in _sinks)
        {
            sink.KmemCacheAlloc(cpu, callSite, ptr, cache, gfp, node);
        }
    }

    public void KmemCacheFree(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache)
    {
        foreach (ISlabTraceSink sink in _sinks)
        {
            sink.KmemCacheFree(cpu, callSite, ptr, cache);
        }
    }
}
