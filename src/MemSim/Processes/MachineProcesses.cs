using System.Collections;
using System.Diagnostics.CodeAnalysis;
using MemSim.Lru;
using MemSim.Processes;
using MemSim.VirtualMemory;

namespace MemSim;

/// <summary>The processes alive, ascending by number. <see cref="Machine.Processes"/>.</summary>
[SuppressMessage("Naming", "CA1710:Identifiers should have correct suffix", Justification = "Named as the other groups of a machine are.")]
public sealed class MachineProcesses : IReadOnlyCollection<Process>
{
    private readonly Machine _machine;

    internal MachineProcesses(Machine machine) => _machine = machine;

    /// <summary>Makes a process with an empty address space: a stack and a heap, nothing mapped (<c>fork()</c> by init and <c>execve()</c>).</summary>
    /// <param name="name">Its name (<c>comm</c>).</param>
    /// <param name="limits">Its resource limits; the usual ones when null.</param>
    /// <param name="on">The CPU that makes it; null for the caller's, which a host thread has on a machine with parallel CPUs only once it ran a task.</param>
    /// <returns>The process, or ENOMEM.</returns>
    /// <exception cref="InvalidOperationException">The machine was booted without contents of RAM, which page tables need.</exception>
    public Result<Process> Create(string name, Rlimits? limits = null, Cpu? on = null)
    {
        ArgumentNullException.ThrowIfNull(name);
        _machine.ThrowIfDisposed();
        limits ??= new Rlimits();
        AddressSpaces spaces = _machine.NeedsContents(_machine.Mm);
        spaces.WasUsed = true;
        using OwnersLock.Scope scope = spaces.Enter();
        Cpu cpu = _machine.CpuTable.Own(on);
        TaskMemory? memory = TaskMemory.TryTake(_machine, cpu);
        if (memory is null)
        {
            return Errno.ENOMEM;
        }

        MemoryDescriptor? mm = spaces.Create(cpu, limits);
        if (mm is null || mm.SetUpProgram(cpu) != Errno.None)
        {
            mm?.Exit(cpu);
            memory.GiveBack(cpu);
            return Errno.ENOMEM;
        }

        Process process = new(spaces, name, Pids.Next(), null, mm, limits, memory);
        Pids.Add(process);
        spaces.WasUsed = true;

        // Before the first process there is nobody whose memory could be taken, and nobody to kill.
        _machine.Hooks.EnableReclaim();
        return process;
    }

    /// <summary>The process with a number; null when there is none.</summary>
    /// <param name="pid">The number.</param>
    public Process? Find(int pid) => Pids.Find(pid);

    /// <summary>How many there are.</summary>
    public int Count => Pids.All.Count;

    /// <summary>Merging of equal pages (<c>/sys/kernel/mm/ksm</c>).</summary>
    public KsmSettings Ksm => _machine.Ksm;

    /// <inheritdoc/>
    public IEnumerator<Process> GetEnumerator() => Pids.All.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Processes by number.</summary>
    internal ProcessTable Pids { get; set; } = null!;
}

/// <content>The processes alive, ascending by number.</content>
public sealed partial class Machine
{
    /// <summary>The processes alive, ascending by number.</summary>
    public MachineProcesses Processes { get; }
}
