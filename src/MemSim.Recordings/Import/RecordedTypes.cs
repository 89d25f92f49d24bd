namespace MemSim.Recordings.Import;

/// <summary>The numbers a recording kernel gave to migrate types: with CMA isolate is 5, without it 4.</summary>
/// <param name="Count">How many types the recording has: 5 without CMA, 6 with it.</param>
internal readonly record struct RecordedTypes(int Count)
{
    public const int WithoutCma = 5;
    public const int WithCma = 6;

    /// <summary>The types of which per-CPU lists are kept: unmovable, movable, reclaimable.</summary>
    public const int PcpTypes = 3;

    /// <summary>Per-CPU lists of a zone: orders 0 to 3 by type, then two of page block order.</summary>
    public const int PcpLists = ((PageGeometry.CostlyOrder + 1) * PcpTypes) + 2;

    /// <summary>The type behind a recorded number, which must be below <see cref="Count"/>.</summary>
    public MigrateType FromRecorded(int number) => number == Count - 1 ? MigrateType.Isolate : (MigrateType)number;

    /// <summary>The number recorded for a type, -1 for one that the kernel does not have.</summary>
    public int ToRecorded(MigrateType type) => type switch
    {
        MigrateType.Isolate => Count - 1,
        MigrateType.Cma when Count == WithoutCma => -1,
        _ => (int)type,
    };

    /// <summary>The order of the blocks in a per-CPU list.</summary>
    public static int OrderOfPcpList(int index, int pageblockOrder) => index < (PageGeometry.CostlyOrder + 1) * PcpTypes ? index / PcpTypes : pageblockOrder;
}
