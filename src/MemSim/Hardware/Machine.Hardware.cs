using MemSim.Hardware;

namespace MemSim;

/// <content>CPUs and RAM.</content>
public sealed partial class Machine
{
    private readonly List<Cpu> _cpus = [];
    private readonly bool _parallel;

    /// <summary>The architecture's description.</summary>
    public ArchitectureInfo Architecture { get; }

    /// <summary>The CPUs by number.</summary>
    public IReadOnlyList<Cpu> Cpus => _cpus;

    /// <summary>Whether the machine was booted with parallel CPUs: its locks are real and several host threads may drive one CPU each.</summary>
    internal bool IsParallel => _parallel;

    internal PhysicalMemory Ram { get; }

    /// <summary>The CPU on which something is done to this machine: CPU 0 when none is named. Another machine's would mix up both machines' memory.</summary>
    internal Cpu Own(Cpu? on) =>
        on is null ? _parallel ? CallersCpu() : _cpus[0] : ReferenceEquals(on.Machine, this) ? on : throw new ArgumentException($"CPU {on.Id} belongs to another machine", nameof(on));
}
