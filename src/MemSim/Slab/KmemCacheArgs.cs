namespace MemSim;

/// <summary>What else a cache may be asked for (<c>struct kmem_cache_args</c>, 6.12 and later): for <see cref="SlabAllocator.CreateCache(string, int, KmemCacheArgs, SlabFlags)"/>.</summary>
public readonly record struct KmemCacheArgs
{
    /// <summary>The alignment wanted in bytes, a power of two, or 0.</summary>
    public int Align { get; init; }

    /// <summary>Where the part starts that may be copied to and from user space, in bytes.</summary>
    public int UserOffset { get; init; }

    /// <summary>Bytes that may be copied to and from user space; 0 for none.</summary>
    public int UserSize { get; init; }

    /// <summary>
    /// Where in the object the pointer to the next free one may lie, a multiple of the word, for objects that are freed with RCU or have a constructor; null to
    /// keep it behind the object, which makes it larger.
    /// </summary>
    public int? FreePointerOffset { get; init; }

    /// <summary>Objects that a CPU's sheaf should hold at least; kernels before 6.18 have no sheaves. A cache that asks is never merged.</summary>
    public int SheafCapacity { get; init; }

    /// <summary>Prepares each object when its slab is made; null for none.</summary>
    public ObjectConstructor? Constructor { get; init; }
}
