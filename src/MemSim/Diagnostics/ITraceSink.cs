namespace MemSim;

/// <summary>A receiver of tracepoints. One that implements several of the interfaces derived from this one receives the events of all of them, or of those chosen with <see cref="TraceEvents"/>.</summary>
/// <remarks>Interfaces: one for each of the subsystems that <see cref="TraceEvents"/> names.</remarks>
public interface ITraceSink;

/// <summary>Whose tracepoints are received.</summary>
[Flags]
public enum TraceEvents
{
    /// <summary>Nobody's.</summary>
    None = 0,

    /// <summary>The page allocator's (<c>kmem:mm_page_*</c>).</summary>
    Pages = 1,

    /// <summary>The slab layer's (<c>kmem:kmalloc</c> and its like).</summary>
    Slab = 2,

    /// <summary>Reclaim's (<c>vmscan:*</c>).</summary>
    Reclaim = 4,

    /// <summary>Those of compaction, migration and contiguous memory areas.</summary>
    Compaction = 8,

    /// <summary>Those of page faults (<c>exceptions:page_fault_*</c>).</summary>
    Faults = 16,

    /// <summary>The OOM killer's (<c>oom:*</c>).</summary>
    Oom = 32,

    /// <summary>Everybody's.</summary>
    All = Pages | Slab | Reclaim | Compaction | Faults | Oom,
}
