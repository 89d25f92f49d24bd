namespace MemSim;

/// <summary>Properties of an object cache (<c>SLAB_*</c>), with the bit values of Linux 6.1.</summary>
[Flags]
public enum SlabFlags : uint
{
    /// <summary>No flag.</summary>
    None = 0,

    /// <summary><c>SLAB_CONSISTENCY_CHECKS</c>: each allocation and free is checked, which costs the fast path.</summary>
    ConsistencyChecks = 0x100,

    /// <summary>
    /// <c>SLAB_RED_ZONE</c>: bytes around each object show whether something wrote beyond it. Alone it reports nothing: only with <see cref="ConsistencyChecks"/> are they looked at when an object is freed,
    /// and <see cref="SlabAllocator.Validate"/> looks at those of objects in use (<c>slub_debug=FZ</c> has both).
    /// </summary>
    RedZone = 0x400,

    /// <summary><c>SLAB_POISON</c>: free objects are filled with a pattern that shows use after free.</summary>
    Poison = 0x800,

    /// <summary><c>SLAB_KMALLOC</c>: one of kmalloc's own caches.</summary>
    Kmalloc = 0x1000,

    /// <summary><c>SLAB_HWCACHE_ALIGN</c>: objects start on cache lines, small ones on an even part of one.</summary>
    HwCacheAlign = 0x2000,

    /// <summary><c>SLAB_CACHE_DMA</c>: pages from ZONE_DMA.</summary>
    CacheDma = 0x4000,

    /// <summary><c>SLAB_CACHE_DMA32</c>: pages from ZONE_DMA32.</summary>
    CacheDma32 = 0x8000,

    /// <summary><c>SLAB_STORE_USER</c>: each object remembers who allocated and freed it last.</summary>
    StoreUser = 0x10000,

    /// <summary><c>SLAB_RECLAIM_ACCOUNT</c>: a shrinker can free the objects; counted as reclaimable.</summary>
    ReclaimAccount = 0x20000,

    /// <summary><c>SLAB_PANIC</c>: the machine panics when the cache cannot be created.</summary>
    Panic = 0x40000,

    /// <summary><c>SLAB_TYPESAFE_BY_RCU</c>: a freed object stays an object of its type until a grace period ends.</summary>
    TypesafeByRcu = 0x80000,

    /// <summary><c>SLAB_TRACE</c>: each allocation and free is logged.</summary>
    Trace = 0x200000,

    /// <summary><c>SLAB_NOLEAKTRACE</c>: not followed by the leak detector.</summary>
    NoLeakTrace = 0x800000,

    /// <summary><c>SLAB_ACCOUNT</c>: objects are charged to memory cgroups.</summary>
    Account = 0x4000000,

    /// <summary><c>SLAB_NO_USER_FLAGS</c>: <c>slub_debug=</c> does not apply to the cache.</summary>
    NoUserFlags = 0x10000000,

    /// <summary><c>__CMPXCHG_DOUBLE</c>: SLUB updates a slab's freelist and counters with one wide compare-and-swap.</summary>
    CmpxchgDouble = 0x40000000,

    /// <summary><c>__OBJECT_POISON</c>: the object itself is poisoned, not only the space around it.</summary>
    ObjectPoison = 0x80000000,

    /// <summary>All flags that switch debugging on (<c>SLAB_DEBUG_FLAGS</c>).</summary>
    DebugFlags = ConsistencyChecks | RedZone | Poison | StoreUser | Trace,

    /// <summary>Debugging flags that need space beside the object (<c>DEBUG_METADATA_FLAGS</c>).</summary>
    DebugMetadata = RedZone | Poison | StoreUser,
}
