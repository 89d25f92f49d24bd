namespace MemSim.Kernels;

/// <summary>Linux 7.0.</summary>
internal static class Linux7_0
{
    private static KernelPersonality Older => Linux6_19.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "7.0",
        Recorded = "Debian 7.0.13-1~bpo13+1",
        Allocator = Older.Allocator with { SkipsRepeatedAttempt = true },
        KernelMemory = Older.KernelMemory with { ThreadStacks = ThreadStackRule.BlockFreedAsPages },
    };
}
