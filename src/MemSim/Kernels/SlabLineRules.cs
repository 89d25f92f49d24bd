namespace MemSim.Kernels;

/// <summary>What slab caches do where kernels differ.</summary>
public sealed record SlabLineRules
{
    /// <summary>Whether the order of a cache's slabs follows from the objects wanted alone (6.7 and later), or fewer objects are tried before more waste.</summary>
    public bool OrderIgnoresFewerObjects { get; init; }

    /// <summary>Whether kmalloc's caches of 96 and 192 bytes are made before those of powers of two, and the charged ones last, after those for DMA (seen from 6.12 on): the order of <c>/proc/slabinfo</c>.</summary>
    public bool KmallocOddSizesFirst { get; init; }

    /// <summary>Bytes of <c>struct kmem_cache_node</c> on 64-bit kernels.</summary>
    public int NodeBytes { get; init; } = 64;

    /// <summary>Bytes of <c>struct kmem_cache</c> on 64-bit kernels, without its pointers to nodes.</summary>
    public int CacheBytes { get; init; } = 216;

    /// <summary>Whether a cache with consistency checks is never merged with others (7.0, as the other debugging options), or may serve unchecked ones.</summary>
    public bool ChecksPreventMerging { get; init; }

    /// <summary>Which caches have sheaves.</summary>
    public SheafRule Sheaves { get; init; }

    /// <summary>Whether pages of slabs are asked for as compound ones even where a slab is a single page (seen from 6.18 on).</summary>
    public bool SlabPagesAreCompound { get; init; }
}

/// <summary>Which caches have sheaves: arrays of free objects for each CPU.</summary>
public enum SheafRule
{
    /// <summary>None: each CPU has a current slab and a list of partial ones (until 6.17).</summary>
    None,

    /// <summary>Those that asked for them, <c>maple_node</c> and <c>vm_area_struct</c>; CPUs have current slabs behind them (6.18, 6.19).</summary>
    WhereAsked,

    /// <summary>All but the two caches the layer is made of and debugged ones; CPUs have no current slabs any more (7.0).</summary>
    Everywhere,
}
