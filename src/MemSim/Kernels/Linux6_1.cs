namespace MemSim.Kernels;

/// <summary>Linux 6.1, the line of every default.</summary>
internal static class Linux6_1
{
    public static KernelPersonality Line { get; } = new()
    {
        Name = "6.1",
        Recorded = "Debian 6.1.192-2",
        Areas = new AreaRules { RemovesWhereWritable = true },
        Reclaim = new ReclaimRules { HasGenerations = true, OnlyOldestRefaults = true },
    };
}
