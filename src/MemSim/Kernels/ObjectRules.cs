namespace MemSim.Kernels;

/// <summary>How large the kernel's own objects are.</summary>
public sealed record ObjectRules
{
    /// <summary>Whether objects are as large as in 6.12, else as in 6.1.</summary>
    public bool SizesOf6_12 { get; init; }
}
