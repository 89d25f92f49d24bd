namespace MemSim;

/// <content>Swap.</content>
public sealed partial class Machine
{
    /// <summary>The swap areas and what is in them.</summary>
    public SwapSpace Swap { get; private set; } = null!;
}
