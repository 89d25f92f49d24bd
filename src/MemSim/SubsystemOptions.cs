namespace MemSim;

/// <summary>How the subsystems of a machine are built.</summary>
internal sealed record SubsystemOptions
{
    public MmuOptions Mmu { get; init; } = MmuOptions.Default;

    public KernelStackOptions Stacks { get; init; } = KernelStackOptions.Default;

    /// <summary>What the command line says about slabs.</summary>
    public KernelCommandLine Slab { get; init; } = KernelCommandLine.Empty;
}
