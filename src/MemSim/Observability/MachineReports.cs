namespace MemSim;

/// <summary>What the kernel would have written to its log about allocations that failed. <see cref="Machine.Reports"/>.</summary>
public sealed class MachineReports
{
    private readonly Machine _machine;

    internal MachineReports(Machine machine) => _machine = machine;

    /// <summary>Why the last vmalloc or vmap failed, as the kernel's warning says it; null when none did.</summary>
    public string? LastVmallocFailure => _machine.Ram.HasContents ? _machine.Memory.Vmalloc.LastFailure : null;

    /// <summary>How many requests failed since boot, those with <see cref="Gfp.NoWarn"/> included.</summary>
    public long AllocationFailures => _machine.Hooks.FailureReports.Failures;

    /// <summary>The last page allocation failure report; null when there was none since, or when the last failure asked for none.</summary>
    public string? LastAllocationFailure => _machine.Hooks.FailureReports.Last;

    /// <summary>Whether every failure writes its whole report into <see cref="LastAllocationFailure"/>, even when no logger listens; off, since reports cost more than allocations.</summary>
    public bool KeepsAllocationFailures
    {
        get => _machine.Hooks.FailureReports.KeepsText;
        set => _machine.Hooks.FailureReports.KeepsText = value;
    }
}

/// <content>Reports of allocations that failed.</content>
public sealed partial class Machine
{
    /// <summary>Reports of allocations that failed.</summary>
    public MachineReports Reports { get; }
}
