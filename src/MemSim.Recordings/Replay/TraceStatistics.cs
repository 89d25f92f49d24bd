using MemSim.Recordings.Replay;

namespace MemSim.Recordings;

/// <summary>How many blocks of one order and migrate type a recording allocates and frees.</summary>
/// <param name="Order">log2 of the pages of a block.</param>
/// <param name="MigrateType">The type asked for; of frees of what was not allocated as such a block in the recording, null.</param>
/// <param name="Allocated">Blocks allocated.</param>
/// <param name="Freed">Of these, blocks freed again; without a type, blocks freed that were allocated before the recording or as part of a larger one.</param>
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

/// <summary>The slab events of one caller or of one cache.</summary>
/// <param name="Name">
/// The calling function and offset as recorded, empty where the recording does not tell; or the cache: its name where an event tells it, else its size, e.g. <c>kmalloc of 96 bytes</c>.
/// </param>
/// <param name="Objects">Objects allocated.</param>
/// <param name="BytesRequested">Bytes asked for.</param>
/// <param name="BytesAllocated">Bytes of the objects delivered.</param>
/// <param name="Freed">Of these, objects freed again within the recording.</param>
/// <param name="FreedElsewhere">Of these, objects freed on another CPU than they were allocated on ("ping-pong").</param>
public sealed record TraceSlabRow(string Name, long Objects, long BytesRequested, long BytesAllocated, long Freed, long FreedElsewhere)
{
    /// <summary>Objects still allocated at the end of the recording.</summary>
    public long Live => Objects - Freed;

    /// <summary>The share of the delivered bytes that nobody asked for, 0 to 1.</summary>
    public double InternalFragmentation => BytesAllocated == 0 ? 0 : (double)(BytesAllocated - BytesRequested) / BytesAllocated;
}

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
/// <param name="BytesFreed">Bytes of the objects freed whose allocation is recorded.</param>
/// <param name="ByCallSite">By caller, most bytes first.</param>
/// <param name="ByCache">By cache, most bytes first.</param>
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
    long BytesFreed,
    IReadOnlyList<TraceSlabRow> ByCallSite,
    IReadOnlyList<TraceSlabRow> ByCache)
{
    /// <summary>Bytes asked for, of both kinds.</summary>
    public long BytesRequested => KmallocBytesRequested + CacheBytesRequested;

    /// <summary>Bytes delivered, of both kinds.</summary>
    public long BytesAllocated => KmallocBytesAllocated + CacheBytesAllocated;

    /// <summary>The share of the delivered bytes that nobody asked for, 0 to 1.</summary>
    public double InternalFragmentation => BytesAllocated == 0 ? 0 : (double)(BytesAllocated - BytesRequested) / BytesAllocated;
}

/// <summary>What a recording holds, in figures; nothing is replayed.</summary>
/// <param name="Events">Events of any kind.</param>
/// <param name="LostEvents">Events that the recording says were lost.</param>
/// <param name="UnknownFlags">Names of flags that no kernel known here has, read as no flag.</param>
/// <param name="Pages">The page events.</param>
/// <param name="Slab">The slab events.</param>
public sealed record TraceStatistics(long Events, long LostEvents, IReadOnlyCollection<string> UnknownFlags, TracePageStatistics Pages, TraceSlabStatistics Slab)
{
    private const int EventsPerReport = 1 << 14;

    /// <summary>Counts the events of a recording as <c>perf kmem stat</c> does.</summary>
    /// <param name="path">The text of a trace, plain or packed.</param>
    /// <param name="progress">Is told the line that has been read.</param>
    /// <exception cref="InputFileException">The file is missing or malformed.</exception>
    public static TraceStatistics Read(string path, IProgress<long>? progress = null)
    {
        using TraceReader reader = new(path);
        TraceStatisticsCollector collector = new();
        while (reader.TryRead(out TraceEvent e))
        {
            collector.Add(e);
            if (reader.EventCount % EventsPerReport == 0)
            {
                progress?.Report(e.Line);
            }
        }

        return new TraceStatistics(reader.EventCount, reader.LostEvents, reader.UnknownFlags, collector.Pages(), collector.Slab());
    }
}
