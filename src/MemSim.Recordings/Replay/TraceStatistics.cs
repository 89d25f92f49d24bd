namespace MemSim.Recordings;

/// <summary>How many blocks of one order and migrate type a recording allocates and frees.</summary>
/// <param name="Order">log2 of the pages of a block.</param>
/// <param name="MigrateType">The type asked for; of frees whose allocation is not recorded, null.</param>
/// <param name="Allocated">Blocks allocated.</param>
/// <param name="Freed">Of these, blocks freed again; without a type, blocks freed that were allocated before the recording.</param>
/// <param name="Failed">Requests that got nothing.</param>
public sealed record TracePageRow(int Order, MigrateType? MigrateType, long Allocated, long Freed, long Failed);

/// <summary>How many blocks a recording allocates with one combination of flags.</summary>
/// <param name="Gfp">The flags.</param>
/// <param name="Blocks">Blocks.</param>
/// <param name="Pages">Pages in them.</param>
public sealed record TraceGfpRow(Gfp Gfp, long Blocks, long Pages);

/// <summary>The page events of a recording in figures, as <c>perf kmem --page stat</c> gives them.</summary>
/// <param name="Rows">By order and migrate type.</param>
/// <param name="ByGfp">By flags, most pages first.</param>
public sealed record TracePageStatistics(IReadOnlyList<TracePageRow> Rows, IReadOnlyList<TraceGfpRow> ByGfp)
{
    /// <summary>Blocks allocated.</summary>
    public long AllocatedBlocks => Rows.Sum(r => r.Allocated);

    /// <summary>Pages allocated.</summary>
    public long AllocatedPages => Rows.Sum(r => r.Allocated << r.Order);

    /// <summary>Blocks freed.</summary>
    public long FreedBlocks => Rows.Sum(r => r.Freed);

    /// <summary>Pages freed.</summary>
    public long FreedPages => Rows.Sum(r => r.Freed << r.Order);

    /// <summary>Blocks allocated and freed within the recording.</summary>
    public long AllocatedAndFreedBlocks => Rows.Where(r => r.MigrateType is not null).Sum(r => r.Freed);

    /// <summary>Requests that got nothing.</summary>
    public long FailedRequests => Rows.Sum(r => r.Failed);
}

/// <summary>The slab events of one caller.</summary>
/// <param name="CallSite">The calling function and offset as recorded; empty where the recording does not tell.</param>
/// <param name="Objects">Objects allocated.</param>
/// <param name="BytesRequested">Bytes asked for.</param>
/// <param name="BytesAllocated">Bytes of the objects delivered.</param>
/// <param name="FreedElsewhere">Objects freed on another CPU than they were allocated on ("ping-pong").</param>
public sealed record TraceSlabRow(string CallSite, long Objects, long BytesRequested, long BytesAllocated, long FreedElsewhere);

/// <summary>The slab events of a recording in figures, as <c>perf kmem --slab stat</c> gives them.</summary>
/// <param name="KmallocObjects">Objects of <c>kmalloc</c>.</param>
/// <param name="KmallocBytesRequested">Bytes asked for from <c>kmalloc</c>.</param>
/// <param name="KmallocBytesAllocated">Bytes that <c>kmalloc</c> delivered.</param>
/// <param name="CacheObjects">Objects of <c>kmem_cache_alloc</c>.</param>
/// <param name="CacheBytesRequested">Bytes of these objects as their caches define them.</param>
/// <param name="CacheBytesAllocated">Bytes these objects take.</param>
/// <param name="Frees">Objects freed by <c>kfree</c> or <c>kmem_cache_free</c>.</param>
/// <param name="FreesOfUnknown">Of these, objects whose allocation is not recorded.</param>
/// <param name="FreedElsewhere">Of these, objects freed on another CPU than they were allocated on.</param>
/// <param name="ByCallSite">By caller, most bytes first.</param>
public sealed record TraceSlabStatistics(
    long KmallocObjects,
    long KmallocBytesRequested,
    long KmallocBytesAllocated,
    long CacheObjects,
    long CacheBytesRequested,
    long CacheBytesAllocated,
    long Frees,
    long FreesOfUnknown,
    long FreedElsewhere,
    IReadOnlyList<TraceSlabRow> ByCallSite)
{
    /// <summary>Bytes asked for, of both kinds.</summary>
    public long BytesRequested => KmallocBytesRequested + CacheBytesRequested;

    /// <summary>Bytes delivered, of both kinds.</summary>
    public long BytesAllocated => KmallocBytesAllocated + CacheBytesAllocated;

    /// <summary>The share of the delivered bytes that nobody asked for, 0 to 1.</summary>
    public double InternalFragmentation => BytesAllocated == 0 ? 0 : (double)(BytesAllocated - BytesRequested) / BytesAllocated;
}
