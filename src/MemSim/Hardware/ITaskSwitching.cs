namespace MemSim.Hardware;

/// <summary>What a task has on a CPU besides its registers, and what must come along when another one runs: mappings, a stack.</summary>
internal interface ITaskSwitching
{
    /// <summary>Looks at both tasks before one is run instead of the other.</summary>
    /// <exception cref="InvalidOperationException">The next one must not leave another CPU.</exception>
    /// <exception cref="KernelBugException">The previous one wrote over the end of its stack.</exception>
    void Check(Cpu cpu, KernelTask previous, KernelTask next);

    /// <summary>Whether a task may take no page faults: it has atomic mappings (<c>pagefault_disabled()</c>).</summary>
    bool DisablesPageFaults(KernelTask task);

    /// <summary>One task stops running and another one starts.</summary>
    void Switch(Cpu cpu, KernelTask from, KernelTask to);
}
