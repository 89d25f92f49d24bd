namespace MemSim.Kernels;

/// <summary>Linux 6.19: of its page allocator alone there are recordings.</summary>
internal static class Linux6_19
{
    private static KernelPersonality Older => Linux6_18.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "6.19",
        Recorded = "Debian 6.19.14-1~bpo13+1",
        Allocator = Older.Allocator with { DrainsInBatches = true },
    };
}
