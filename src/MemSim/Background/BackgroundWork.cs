namespace MemSim;

/// <summary>When the machine's background threads (kswapd, kcompactd, khugepaged, oom_reaper, writeback) do the work they were woken for.</summary>
public enum BackgroundWork
{
    /// <summary>At once, inside the call that woke them, until they would go to sleep.</summary>
    Inline,

    /// <summary>When <see cref="MachineBackground.Run"/> is called.</summary>
    Manual,
}
