namespace MemSim.Explorer.Sessions;

/// <summary>Asks processes that may have ended.</summary>
public static class ProcessMemory
{
    /// <summary>The address space of a process; null when it has ended, which is no news to somebody who only looks.</summary>
    public static MemoryDescriptor? MemoryOrNull(this Process process)
    {
        ArgumentNullException.ThrowIfNull(process);
        return process.State == ProcessState.Running ? process.Mm : null;
    }
}
