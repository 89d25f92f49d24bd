namespace MemSim;

/// <summary>What compaction remembers of a zone.</summary>
/// <param name="CachedFreePfn">Where the free scanner goes on; 0 before the first run.</param>
/// <param name="CachedMigratePfnAsync">Where asynchronous migration scanners go on.</param>
/// <param name="CachedMigratePfnSync">Where synchronous ones do.</param>
/// <param name="Considered">Runs put off since compaction last failed.</param>
/// <param name="DeferShift">log2 of how many runs are put off after a failure.</param>
/// <param name="OrderFailed">From this order on runs are put off.</param>
/// <param name="SkippedPageblocks">Page blocks marked as not worth a look.</param>
/// <remarks>Kernel: the <c>compact_*</c> fields of <c>struct zone</c>.</remarks>
public readonly record struct CompactionInfo(
    long CachedFreePfn,
    long CachedMigratePfnAsync,
    long CachedMigratePfnSync,
    int Considered,
    int DeferShift,
    int OrderFailed,
    int SkippedPageblocks);
