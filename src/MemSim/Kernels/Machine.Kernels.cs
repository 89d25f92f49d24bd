using MemSim.Kernels;

namespace MemSim;

/// <content>Whose rules the machine follows.</content>
public sealed partial class Machine
{
    /// <summary>The kernel whose rules the machine follows.</summary>
    public KernelPersonality Personality { get; }

    /// <summary>What the user must know about the machine: that its kernel was never recorded and follows the rules of another, what of its state was invented; empty where there is nothing to say.</summary>
    public IReadOnlyList<string> Warnings { get; internal set; }
}
