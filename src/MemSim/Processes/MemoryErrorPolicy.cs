namespace MemSim;

/// <summary>When a process is told that memory it has mapped is broken (<c>PR_MCE_KILL_*</c>). <see cref="Process.MemoryErrorPolicy"/>.</summary>
public enum MemoryErrorPolicy
{
    /// <summary>As <c>vm.memory_failure_early_kill</c> says.</summary>
    Default,

    /// <summary>At once, whether it uses the memory or not: <c>BUS_MCEERR_AO</c>.</summary>
    Early,

    /// <summary>When it uses the memory: <c>BUS_MCEERR_AR</c>.</summary>
    Late,
}
