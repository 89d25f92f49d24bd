namespace MemSim.Kernels;

/// <summary>Linux 6.12.</summary>
internal static class Linux6_12
{
    private static KernelPersonality Older => Linux6_1.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "6.12",
        Recorded = "Debian 6.12.117-1",
        Reserves = Older.Reserves with { ClampsMovableMin = true, PcpHighMaxFraction = 8 },
        Slab = Older.Slab with { OrderIgnoresFewerObjects = true },
        Objects = Older.Objects with { SizesOf6_12 = true },
        Views = Older.Views with { RowsOf6_12 = true },
        Allocator = Older.Allocator with
        {
            PcpTuning = PcpTuning.MovingLimit,
            CachesTypes = false,
            FreesPastHeldLists = true,
            CountsEachBlock = true,
            Fallback = FallbackRule.ClaimThenSteal,
            MergedBlocksTakeType = true,
            RemembersBelowHigh = true,
            CountsFreeHighAtomic = true,
            HighAtomicInWholeBlocks = true,
            HasAtomicFlag = false,
        },
    };
}
