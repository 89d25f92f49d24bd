namespace MemSim.Background;

/// <summary>A kernel thread of the machine: woken by others, runs to its sleep condition.</summary>
internal abstract class BackgroundTask
{
    protected BackgroundTask(string name, int pid, Node? node, TaskFlags flags = TaskFlags.None)
    {
        Task = new KernelTask(name, pid) { Flags = flags };
        Node = node;
    }

    /// <summary>The thread as a task.</summary>
    public KernelTask Task { get; }

    /// <summary>The node whose CPUs it runs on; null for any.</summary>
    public Node? Node { get; }

    /// <summary>Whether it was woken and has not run since.</summary>
    public bool IsPending { get; internal set; }

    /// <summary>Works until there is nothing left to do. The CPU is in process context with <see cref="Task"/> as its current task.</summary>
    public abstract void Run(Cpu cpu);
}
