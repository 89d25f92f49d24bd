using MemSim.Oom;

namespace MemSim;

/// <summary>The OOM killer of a machine. <see cref="Machine.Oom"/>.</summary>
public sealed class MachineOom
{
    internal MachineOom()
    {
    }

    /// <summary>What the OOM killer last said: the report of a kill in the kernel's format, or of what was reaped; null when it never spoke.</summary>
    public string? LastReport => Killer.Reports.LastOrDefault();

    /// <summary>What the OOM killer said, oldest first; the last sixteen reports.</summary>
    public IReadOnlyCollection<string> Reports => Killer.Reports;

    /// <summary>Who chooses and ends processes.</summary>
    internal OomKiller Killer { get; set; } = null!;
}

/// <content>The OOM killer: what it said.</content>
public sealed partial class Machine
{
    /// <summary>The OOM killer: what it said.</summary>
    public MachineOom Oom { get; }
}
