using MemSim.Diagnostics;
using MemSim.Hardware;

namespace MemSim;

/// <content>CPUs and RAM.</content>
public sealed partial class Machine
{
    /// <summary>The architecture's description.</summary>
    public ArchitectureInfo Architecture { get; }

    /// <summary>The CPUs by number.</summary>
    public IReadOnlyList<Cpu> Cpus => CpuTable.Cpus;

    /// <summary>The CPUs, and which of them does something for a caller who names none.</summary>
    internal CpuTable CpuTable { get; }

    /// <summary>Whether the machine was booted with parallel CPUs: its locks are real and several host threads may drive one CPU each.</summary>
    internal bool IsParallel { get; }

    /// <summary>Who decides which of its parallel CPUs goes on, in place of the host; null but in tests that try interleavings.</summary>
    [field: NotState("a copy's CPUs are the host's to schedule")]
    internal IInterleaver? Interleaver { get; }

    /// <summary>A lock that is only there where CPUs are parallel.</summary>
    /// <param name="name">The field, as the table of locks names it.</param>
    internal MachineLock? NewLock(string name) => IsParallel ? new MachineLock(this, name) : null;

    internal PhysicalMemory Ram { get; }

    /// <summary>A part that exists only where RAM has contents.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without them.</exception>
    internal T NeedsContents<T>(T? part)
        where T : class
    {
        ThrowIfDisposed();
        return part ?? throw new InvalidOperationException("the machine was booted without contents of RAM (MachineSpec.WithoutContents): nothing can be mapped there");
    }
}
