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

    /// <summary>What CPUs have to look at when their own context is nothing special: the allocator says so.</summary>
    internal CpuMode UsualMode { get; private set; } = CpuMode.Observed;

    /// <summary>Whether every request must take the checked way in, on every CPU.</summary>
    internal bool ChecksEveryRequest { get; private set; }

    /// <summary>Who has a part in every switch of tasks; null before there are kernel mappings.</summary>
    internal ITaskSwitching? TaskSwitching { get; private set; }

    internal PhysicalMemory Ram { get; }

    /// <summary>Host memory that the machine's own tables are made of.</summary>
    internal HostMemory HostMemory { get; }

    /// <summary>A part that exists only where RAM has contents.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without them.</exception>
    internal T NeedsContents<T>(T? part)
        where T : class
    {
        ThrowIfDisposed();
        return part ?? throw new InvalidOperationException("the machine was booted without contents of RAM (MachineSpec.WithoutContents): nothing can be mapped there");
    }

    /// <summary>The CPU on which something is done to this machine: CPU 0 when none is named. Another machine's would mix up both machines' memory.</summary>
    internal Cpu Own(Cpu? on) =>
        on is null ? _parallel ? CallersCpu() : _cpus[0] : ReferenceEquals(on.Machine, this) ? on : throw new ArgumentException($"CPU {on.Id} belongs to another machine", nameof(on));
}
