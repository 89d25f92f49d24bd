namespace MemSim;

/// <content>Memory cgroups.</content>
public sealed partial class Machine
{
    /// <summary>The memory cgroups: until one is made there is only the root, which costs nothing.</summary>
    public CgroupTree Cgroups { get; private set; } = null!;
}
