namespace MemSim;

/// <summary>How long a page migration may take (<c>enum migrate_mode</c>).</summary>
public enum MigrationMode
{
    /// <summary>Waits for nothing.</summary>
    Async = 0,

    /// <summary>Waits for locks, not for writeback.</summary>
    SyncLight = 1,

    /// <summary>Waits for locks and for writeback.</summary>
    Sync = 2,
}

/// <summary>Why pages are migrated (<c>enum migrate_reason</c>).</summary>
public enum MigrationReason
{
    /// <summary>Compaction.</summary>
    Compaction = 0,

    /// <summary>A page is failing.</summary>
    MemoryFailure = 1,

    /// <summary>Memory is being removed.</summary>
    MemoryHotplug = 2,

    /// <summary>A system call asked for it.</summary>
    SystemCall = 3,

    /// <summary>The policy of an area changed.</summary>
    MempolicyBind = 4,

    /// <summary>The page is on the wrong node.</summary>
    NumaMisplaced = 5,

    /// <summary>A contiguous range is being allocated.</summary>
    ContiguousRange = 6,

    /// <summary>The page is about to be pinned for long.</summary>
    LongtermPin = 7,

    /// <summary>Reclaim moves the page to slower memory.</summary>
    Demotion = 8,
}
