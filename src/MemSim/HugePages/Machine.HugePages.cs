namespace MemSim;

/// <content>Huge pages.</content>
public sealed partial class Machine
{
    /// <summary>Transparent huge pages of processes.</summary>
    public HugePageSettings HugePages { get; private set; } = null!;
}
