namespace MemSim.Explorer.Recordings;

/// <summary>A stretch of a recording.</summary>
/// <param name="FirstLine">The first line of it.</param>
/// <param name="StartNs">When it begins, as the recording's clock says.</param>
public sealed record TimelineBucket(int FirstLine, long StartNs)
{
    /// <summary>Events of any kind.</summary>
    public long Events { get; set; }

    /// <summary>Pages allocated.</summary>
    public long PagesAllocated { get; set; }

    /// <summary>Pages freed.</summary>
    public long PagesFreed { get; set; }

    /// <summary>Requests that failed.</summary>
    public long Failed { get; set; }

    /// <summary>Requests that took a block of another type.</summary>
    public long Fallbacks { get; set; }

    /// <summary>Events of reclaim, compaction and the OOM killer.</summary>
    public long Reclaim { get; set; }

    /// <summary>Blocks allocated, by order.</summary>
    public long[] ByOrder { get; } = new long[PageGeometry.OrderCount];

    /// <summary>Pages in use at the end, compared with the beginning of the recording.</summary>
    public long Balance { get; set; }

    /// <summary>Allocations whose frame the replay did not predict.</summary>
    public long Missed { get; set; }

    /// <summary>Free pages of the replaying machine at the end; null where none was rebuilt.</summary>
    public long? FreePages { get; set; }
}
