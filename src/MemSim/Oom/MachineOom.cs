namespace MemSim;

/// <summary>The OOM killer of a machine. <see cref="Machine.Oom"/>.</summary>
public sealed class MachineOom
{
    private readonly Machine _machine;

    internal MachineOom(Machine machine) => _machine = machine;

    /// <summary>What the OOM killer last said: the report of a kill in the kernel's format, or of what was reaped; null when it never spoke.</summary>
    public string? LastReport => _machine.OomKiller.Reports.LastOrDefault();

    /// <summary>What the OOM killer said, oldest first; the last sixteen reports.</summary>
    public IReadOnlyCollection<string> Reports => _machine.OomKiller.Reports;
}

/// <content>The OOM killer: what it said.</content>
public sealed partial class Machine
{
    /// <summary>The OOM killer: what it said.</summary>
    public MachineOom Oom { get; }
}
