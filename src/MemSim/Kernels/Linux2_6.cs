namespace MemSim.Kernels;

/// <summary>Linux 2.6, the era of the classic textbooks: 6.1's rules with every difference that is known.</summary>
internal static class Linux2_6
{
    public static KernelPersonality Line { get; } = OlderKernels.RulesOf(new KernelVersion(2, 6));
}
