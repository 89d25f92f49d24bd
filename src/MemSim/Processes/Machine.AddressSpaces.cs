namespace MemSim;

/// <content>Processes.</content>
public sealed partial class Machine
{
    /// <summary>Makes a process with an empty address space: a stack and a heap, nothing mapped.</summary>
    /// <param name="name">Its name (<c>comm</c>).</param>
    /// <param name="limits">Its resource limits; the usual ones when null.</param>
    /// <param name="on">The CPU that makes it; null for the caller's, which a host thread has on a machine with parallel CPUs only once it ran a task.</param>
    /// <exception cref="InvalidOperationException">There is no memory for it (see <see cref="MachineProcesses.Create"/>), or the machine has no contents of RAM.</exception>
    public Process CreateProcess(string name, Rlimits? limits = null, Cpu? on = null) => Processes.Create(name, limits, on);
}
