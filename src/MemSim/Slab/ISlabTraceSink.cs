namespace MemSim;

/// <summary>Receives the slab layer's tracepoints (<c>kmem:kmalloc</c> and its like) with the fields of Linux 6.1.</summary>
/// <remarks>Called on the thread that drives the CPU; must not call back into the machine. A null address means a failed allocation. The call site is what <see cref="Cpu.CallSite"/> set, or empty.</remarks>
public interface ISlabTraceSink : ITraceSink
{
    /// <summary><c>kmalloc</c>: an object of so many bytes was asked for and one of at least as many given.</summary>
    void Kmalloc(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node);

    /// <summary><c>kmalloc_node</c>: as <see cref="Kmalloc"/>, with a node asked for. 6.1 and later emit <c>kmalloc</c> with its node.</summary>
    void KmallocNode(Cpu cpu, string callSite, VirtualAddress ptr, long bytesReq, long bytesAlloc, Gfp gfp, int node) => Kmalloc(cpu, callSite, ptr, bytesReq, bytesAlloc, gfp, node);

    /// <summary><c>kfree</c>: an address is being freed; the null address included.</summary>
    void Kfree(Cpu cpu, string callSite, VirtualAddress ptr);

    /// <summary><c>kmem_cache_alloc</c>: an object of a cache was allocated.</summary>
    void KmemCacheAlloc(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache, Gfp gfp, int node);

    /// <summary><c>kmem_cache_free</c>: an object of a cache is being freed.</summary>
    void KmemCacheFree(Cpu cpu, string callSite, VirtualAddress ptr, KmemCache cache);
}
