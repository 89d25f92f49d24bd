namespace MemSim.Kernels;

/// <summary>How tracepoints and flags are written.</summary>
public sealed record TraceRules
{
    /// <summary>Whether <c>kmem_cache_alloc</c> names the cache (<c>name=</c>, 6.18).</summary>
    public bool CacheAllocHasName { get; init; }
}
