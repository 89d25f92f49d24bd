using System.Collections.Immutable;

namespace MemSim.Kernels;

/// <summary>The kernel lines that MemSim knows.</summary>
public static class KernelLines
{
    /// <summary>The era of the classic textbooks: 6.1 with everything that is known to have been otherwise.</summary>
    public static KernelPersonality Linux2_6 => Kernels.Linux2_6.Line;

    /// <summary>Linux 6.1, the default.</summary>
    public static KernelPersonality Linux6_1 => Kernels.Linux6_1.Line;

    /// <summary>Linux 6.12.</summary>
    public static KernelPersonality Linux6_12 => Kernels.Linux6_12.Line;

    /// <summary>Linux 6.17.</summary>
    public static KernelPersonality Linux6_17 => Kernels.Linux6_17.Line;

    /// <summary>Linux 6.18.</summary>
    public static KernelPersonality Linux6_18 => Kernels.Linux6_18.Line;

    /// <summary>Linux 6.19.</summary>
    public static KernelPersonality Linux6_19 => Kernels.Linux6_19.Line;

    /// <summary>Linux 7.0.</summary>
    public static KernelPersonality Linux7_0 => Kernels.Linux7_0.Line;

    /// <summary>Linux 7.1.</summary>
    public static KernelPersonality Linux7_1 => Kernels.Linux7_1.Line;

    /// <summary>Linux 7.2.</summary>
    public static KernelPersonality Linux7_2 => Kernels.Linux7_2.Line;

    /// <summary>Linux 7.3.</summary>
    public static KernelPersonality Linux7_3 => Kernels.Linux7_3.Line;

    /// <summary>The lines that were recorded, oldest first.</summary>
    public static IReadOnlyList<KernelPersonality> Recorded { get; } =
        ImmutableArray.Create(Linux6_1, Linux6_12, Linux6_17, Linux6_18, Linux6_19, Linux7_0, Linux7_1, Linux7_2, Linux7_3);

    /// <summary>All lines, oldest first.</summary>
    public static IReadOnlyList<KernelPersonality> All { get; } = ImmutableArray.Create([Linux2_6, .. Recorded]);
}
