namespace MemSim.Kernels;

/// <summary>Linux 6.17: of its page allocator alone there are recordings.</summary>
internal static class Linux6_17
{
    private static KernelPersonality Older => Linux6_12.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "6.17",
        Recorded = "Debian 6.17.13-1~bpo13+1",
        Image = Older.Image with { StackDepotPoolPages = 16 },
        Views = Older.Views with { AddedSysctls = Older.Views.AddedSysctls.Add("defrag_mode") },
        Reclaim = Older.Reclaim with
        {
            NewPages = GenerationPlacement.FromYoungest,
            Tiers = AccessTiers.WithWorkingSet,
            Eviction = EvictionStep.ByPriority,
            FileFolioOrder = 9,
            SwapsLargeAnywhere = true,
        },
        Areas = Older.Areas with { MergesUntouched = true, MovesSeveralAreas = true, TellsWhatMoved = true, GuardRegions = true, AdvisesItselfFreely = true },
        Allocator = Older.Allocator with { BurstBoundHasHighMin = true, CountsFreeBlocks = true, DefragMode = DefragModeRule.Strict },
    };
}
