namespace MemSim.VirtualMemory;

/// <content>Processes that were killed in the middle of an operation on some address space, which might be theirs.</content>
internal sealed partial class MmCore
{
    private readonly List<(Process Process, Cpu Cpu)> _dying = [];

    /// <summary>Whether an operation on an address space is in progress outside the one that asks.</summary>
    public bool IsInOperation => _depth > 1;

    /// <summary>Ends a process as soon as no operation is in progress any more.</summary>
    public void EndLater(Process process, Cpu cpu) => _dying.Add((process, cpu));

    /// <summary>No operation is in progress: those who were killed meanwhile end.</summary>
    private void EndDying()
    {
        while (_dying.Count != 0)
        {
            (Process process, Cpu cpu) = _dying[0];
            _dying.RemoveAt(0);
            if (process.RunsOn is null)
            {
                process.Exit(cpu, new ExitStatus(0, Signal.SIGKILL));
            }
        }
    }
}
