namespace MemSim.Recordings;

/// <summary>What a line of a recorded operation sequence does.</summary>
public enum ExactOperationKind : byte
{
    /// <summary><c>A</c>: one allocation.</summary>
    Allocate,

    /// <summary><c>F</c>: free of one live block.</summary>
    Free,

    /// <summary><c>B</c>: bulk allocation of single pages; as many <see cref="BulkPage"/> as <see cref="ExactOperation.Got"/> follow.</summary>
    BulkAllocate,

    /// <summary><c>b</c>: one page of the bulk allocation before.</summary>
    BulkPage,

    /// <summary><c>L</c>: free of single pages as one list; as many <see cref="ListPage"/> as <see cref="ExactOperation.Count"/> follow, the free happens after the last.</summary>
    FreeList,

    /// <summary><c>l</c>: one page of the list before.</summary>
    ListPage,

    /// <summary><c>S</c>: a live block becomes single pages.</summary>
    Split,

    /// <summary><c>D</c>: all per-CPU lists of a zone (or of all: <see cref="ExactOperation.Zone"/> is -1) are drained.</summary>
    Drain,

    /// <summary><c>Z</c>: at most a batch is drained from a zone's per-CPU lists.</summary>
    DrainBatch,

    /// <summary><c>M</c>: a marker, no operation.</summary>
    Marker,
}

/// <summary>Who asked for the memory in a recorded allocation.</summary>
public enum ExactCaller : byte
{
    /// <summary><c>-</c>: an ordinary task.</summary>
    Ordinary,

    /// <summary><c>m</c>: a task marked PF_MEMALLOC.</summary>
    MemAlloc,

    /// <summary><c>o</c>: a victim of the OOM killer.</summary>
    OomVictim,
}

/// <summary>The folded free-page counters of zones 0 to 3 after a recorded operation, in pages.</summary>
/// <param name="Zone0">Zone with kernel index 0.</param>
/// <param name="Zone1">Zone with kernel index 1.</param>
/// <param name="Zone2">Zone with kernel index 2.</param>
/// <param name="Zone3">Zone with kernel index 3.</param>
public readonly record struct ExactCounters(long Zone0, long Zone1, long Zone2, long Zone3)
{
    /// <summary>How many there are.</summary>
    internal const int Count = 4;

    /// <summary>The counter of a zone by its kernel index, 0 to 3.</summary>
    public long this[int zone] => zone switch
    {
        0 => Zone0,
        1 => Zone1,
        2 => Zone2,
        3 => Zone3,
        _ => throw new ArgumentOutOfRangeException(nameof(zone)),
    };
}

/// <summary>One line of a recorded operation sequence, with its result. Fields a kind does not have are 0, frame numbers, zones and types -1.</summary>
/// <param name="Kind">What was done.</param>
/// <param name="Line">The 1-based line in the file.</param>
/// <param name="Order">log2 of the pages of the block.</param>
/// <param name="Gfp">The flags of an allocation.</param>
/// <param name="Caller">Who asked.</param>
/// <param name="Pfn">The first frame of the block; -1 when the allocation failed.</param>
/// <param name="Zone">The kernel index of the zone; -1 when there is none, or for all zones.</param>
/// <param name="MigrateType">The type of the block's page block (for an allocation after it, for a list before it); -1 when there is none.</param>
/// <param name="Count">Pages asked for in bulk, pages of a list, or the number of a marker.</param>
/// <param name="Got">Pages that a bulk allocation delivered.</param>
/// <param name="HasCounters">Whether the recording tells the counters after this operation.</param>
/// <param name="Counters">The counters after the operation; where the recording does not tell, those told last.</param>
public readonly record struct ExactOperation(
    ExactOperationKind Kind,
    int Line,
    int Order,
    Gfp Gfp,
    ExactCaller Caller,
    long Pfn,
    int Zone,
    int MigrateType,
    int Count,
    int Got,
    bool HasCounters,
    ExactCounters Counters);
