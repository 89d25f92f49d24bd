namespace MemSim.Slab;

/// <summary>What a cache is asked to hold.</summary>
/// <param name="Name">The cache's name; <c>slub_debug=</c> may single it out.</param>
/// <param name="ObjectSize">Bytes of an object.</param>
/// <param name="Align">The final alignment in bytes, as <see cref="SlabRules"/> gives it.</param>
/// <param name="Flags">The flags, debugging included.</param>
/// <param name="HasConstructor">Whether objects are constructed: the free pointer must then stay outside.</param>
internal readonly record struct CacheRequest(string Name, int ObjectSize, int Align, SlabFlags Flags, bool HasConstructor)
{
    /// <summary>Objects that a sheaf should hold at least; 0 for the kernel's choice.</summary>
    public int SheafCapacity { get; init; }

    /// <summary>Where the free pointer may lie inside an object that is freed with RCU or has a constructor; null: behind it.</summary>
    public int? FreePointerOffset { get; init; }

    /// <summary>Whether it is one of the two caches the layer itself is made of, which never have sheaves.</summary>
    public bool IsBootCache { get; init; }
}

/// <summary>Where things lie in a cache's slabs, in bytes, and how large its slabs are. What <c>/sys/kernel/slab</c> shows of a cache.</summary>
internal sealed record CacheLayout
{
    /// <summary>Bytes from one object to the next.</summary>
    public required int Size { get; init; }

    public required int Align { get; init; }

    public required SlabFlags Flags { get; init; }

    /// <summary>Where the object's own part ends and metadata start.</summary>
    public required int InUse { get; init; }

    /// <summary>Where the free pointer lies, from the object's start.</summary>
    public required int FreePointerOffset { get; init; }

    /// <summary>The red zone before each object.</summary>
    public int RedLeftPad { get; init; }

    /// <summary>log2 of the pages of a slab.</summary>
    public required int Order { get; init; }

    /// <summary>Objects in a slab of <see cref="Order"/>.</summary>
    public required int Objects { get; init; }

    /// <summary>The order to fall back to under pressure.</summary>
    public required int MinOrder { get; init; }

    public required int MinObjects { get; init; }

    /// <summary>Empty slabs a node keeps.</summary>
    public int MinPartial { get; init; }

    /// <summary>Free objects a CPU may keep in partial slabs (a figure of sysfs; the limit in force is <see cref="CpuPartialSlabs"/>).</summary>
    public int CpuPartial { get; init; }

    /// <summary>Slabs in a CPU's partial list.</summary>
    public int CpuPartialSlabs { get; init; }

    /// <summary>Objects in a CPU's sheaf; 0 for none.</summary>
    public int SheafCapacity { get; init; }

    /// <summary>Flags that the page allocator gets with each request for a slab.</summary>
    public Gfp AllocFlags { get; init; }
}
