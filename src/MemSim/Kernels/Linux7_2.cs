namespace MemSim.Kernels;

/// <summary>Linux 7.2.</summary>
internal static class Linux7_2
{
    private static KernelPersonality Older => Linux7_1.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "7.2",
        Recorded = "Debian 7.2.12-1~bpo13+1",
        Allocator = Older.Allocator with { DefragMode = DefragModeRule.YieldsToKswapd, HasCma = true },
        KernelMemory = Older.KernelMemory with { ThreadStacks = ThreadStackRule.BlockFreedWhole },
    };
}
