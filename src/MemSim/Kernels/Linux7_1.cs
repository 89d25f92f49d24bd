namespace MemSim.Kernels;

/// <summary>Linux 7.1.</summary>
internal static class Linux7_1
{
    private static KernelPersonality Older => Linux7_0.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "7.1",
        Recorded = "Debian 7.1.13-1~bpo13+1",
        Allocator = Older.Allocator with { HighAtomicRefillsPcp = false, ReservesAfterPcpHit = false },
        KernelMemory = Older.KernelMemory with { FreesSmpAlternativesLate = true },
    };
}
