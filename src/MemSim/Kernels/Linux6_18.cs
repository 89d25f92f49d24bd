namespace MemSim.Kernels;

/// <summary>Linux 6.18.</summary>
internal static class Linux6_18
{
    private static KernelPersonality Older => Linux6_17.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "6.18",
        Recorded = "Debian 6.18.15-1~bpo13+1",
        Reserves = Older.Reserves with { LowmemReserveFollowsManaged = true },
        Traces = Older.Traces with { CacheAllocHasName = true },
    };
}
