using MemSim.Slab;

namespace MemSim;

/// <summary>A sheaf lent to a caller (<c>struct slab_sheaf</c>): objects had beforehand, so that taking one cannot fail. <see cref="CpuSlabCalls.PrefillSheaf"/>.</summary>
public sealed class SlabSheaf
{
    internal SlabSheaf(KmemCache cache, ArrayCache sheaf)
    {
        Cache = cache;
        Sheaf = sheaf;
    }

    /// <summary>The cache whose objects it holds.</summary>
    public KmemCache Cache { get; }

    /// <summary>Objects left in it (<c>kmem_cache_sheaf_size()</c>).</summary>
    public int Count { get; internal set; }

    /// <summary>Whether it was given back.</summary>
    public bool IsReturned { get; internal set; }

    /// <summary>The sheaf itself, for the implementation; null where the cache has none and the objects are in <see cref="Objects"/>.</summary>
    internal ArrayCache Sheaf { get; set; }

    /// <summary>The objects of a cache that has no sheaves, the last one to go first; they are allocated ones.</summary>
    internal List<VirtualAddress> Objects { get; } = [];

    /// <summary>The sheaf's own memory, for a cache that has no sheaves.</summary>
    internal ulong Home { get; set; }
}
