using MemSim.Faults;
using MemSim.Processes;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Processes.</content>
public sealed partial class Machine
{
    /// <summary>The processes alive, ascending by number.</summary>
    public IReadOnlyCollection<Process> Processes => Mm?.Pids.All ?? [];

    /// <summary>What all address spaces share; null on a machine without contents of RAM, which can have none.</summary>
    internal MmCore? Mm { get; private set; }

    /// <summary>Makes a process with an empty address space: a stack and a heap, nothing mapped (<c>fork()</c> by init and <c>execve()</c>).</summary>
    /// <param name="name">Its name (<c>comm</c>).</param>
    /// <param name="limits">Its resource limits; the usual ones when null.</param>
    /// <param name="on">The CPU that makes it; null for the caller's, which a host thread has on a machine with parallel CPUs only once it ran a task.</param>
    /// <returns>The process, or ENOMEM.</returns>
    /// <exception cref="InvalidOperationException">The machine was booted without contents of RAM, which page tables need.</exception>
    public Result<Process> TryCreateProcess(string name, Rlimits? limits = null, Cpu? on = null)
    {
        ArgumentNullException.ThrowIfNull(name);
        ThrowIfDisposed();
        limits ??= new Rlimits();
        MmCore core = NeedsContents(Mm);
        core.WasUsed = true;
        using AddressSpaceLock.Scope scope = core.Enter();
        Cpu cpu = Own(on);
        TaskMemory? memory = TaskMemory.TryTake(this, cpu);
        if (memory is null)
        {
            return Errno.ENOMEM;
        }

        MemoryDescriptor? mm = core.NewMm(cpu, limits);
        if (mm is null || mm.SetUpProgram(cpu) != Errno.None)
        {
            mm?.Exit(cpu);
            memory.GiveBack(cpu);
            return Errno.ENOMEM;
        }

        Process process = new(core, name, core.Pids.Next(), null, mm, limits, memory);
        core.Pids.Add(process);
        core.WasUsed = true;

        // Before the first process there is nobody whose memory could be taken, and nobody to kill.
        EnableReclaim();
        return process;
    }

    /// <summary>Makes a process with an empty address space: a stack and a heap, nothing mapped.</summary>
    /// <param name="name">Its name (<c>comm</c>).</param>
    /// <param name="limits">Its resource limits; the usual ones when null.</param>
    /// <param name="on">The CPU that makes it; null for the caller's, which a host thread has on a machine with parallel CPUs only once it ran a task.</param>
    /// <exception cref="InvalidOperationException">There is no memory for it (see <see cref="TryCreateProcess"/>), or the machine has no contents of RAM.</exception>
    public Process CreateProcess(string name, Rlimits? limits = null, Cpu? on = null) => TryCreateProcess(name, limits, on);

    /// <summary>The process with a number; null when there is none.</summary>
    /// <param name="pid">The number.</param>
    public Process? FindProcess(int pid) => Mm?.Pids.Find(pid);

    /// <summary>Attaches a receiver of the tracepoints of page faults.</summary>
    /// <param name="sink">The receiver.</param>
    public void AttachFaultTrace(IFaultTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        (NeedsContents(Mm).FaultTrace ??= new FaultTrace()).Attach(sink);
    }

    /// <summary>Detaches a receiver of the tracepoints of page faults.</summary>
    /// <param name="sink">The receiver.</param>
    public void DetachFaultTrace(IFaultTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        if (Mm?.FaultTrace?.Detach(sink) == true)
        {
            Mm.FaultTrace = null;
        }
    }

    /// <summary>Records what page faults do from now on, step by step; null stops that.</summary>
    /// <param name="story">Receives the steps.</param>
    public void RecordFaults(FaultStory? story) => NeedsContents(Mm).Story = story;
}
