using MemSim.Diagnostics;
using MemSim.Hardware;

namespace MemSim;

/// <summary>A CPU: the actor on which simulated kernel code runs, with its execution context and current task.</summary>
/// <remarks>
/// Everything that depends on "the current CPU" is called on this object. One host thread may drive a CPU at a time; several threads may drive several CPUs
/// only on a machine with parallel CPUs.
/// </remarks>
public sealed partial class Cpu
{
    /// <summary>What the hot paths have to look at.</summary>
    internal CpuMode Mode = CpuMode.Special;

    /// <summary>Whether the slab layer's fast paths may be taken: it exists, nobody listens to its tracepoints, no contents have to be zeroed, and no code of the user's runs.</summary>
    internal bool SlabReady;

    /// <summary>What is in progress on the machine; null where each host thread has its own.</summary>
    internal readonly Callouts.State? InProgress;

    internal Cpu(Machine machine, int id, Node node)
    {
        Machine = machine;
        InProgress = machine.Callouts.OfAllThreads;
        Id = id;
        Node = node;
        Current = new KernelTask($"swapper/{id}", 0) { RunsOn = this };
        Context = new CpuContext(this, Current);
        Accesses = new CpuAccesses(this);
        Tlb = new Tlb(this);
    }

    /// <summary>The machine this CPU belongs to.</summary>
    public Machine Machine { get; }

    /// <summary>The CPU's number.</summary>
    public int Id { get; }

    /// <summary>The node the CPU is on.</summary>
    public Node Node { get; }

    /// <summary>Whether the CPU is online.</summary>
    public bool IsOnline { get; internal set; } = true;

    /// <summary>The task that runs on the CPU.</summary>
    public KernelTask Current { get; internal set; }

    /// <summary>Serves a hardware interrupt until the scope is disposed: nothing may sleep, the current task's rights do not count.</summary>
    public ContextScope HardIrq() => Context.Enter(ContextKind.HardIrq);

    /// <summary>Serves a soft interrupt until the scope is disposed.</summary>
    public ContextScope SoftIrq() => Context.Enter(ContextKind.SoftIrq);

    /// <summary>Serves a non-maskable interrupt until the scope is disposed: the page allocator must not be used at all.</summary>
    public ContextScope Nmi() => Context.Enter(ContextKind.Nmi);

    /// <summary>Runs a task on this CPU until the scope is disposed.</summary>
    /// <param name="task">The task.</param>
    /// <exception cref="ArgumentException">The task belongs to another machine.</exception>
    /// <exception cref="InvalidOperationException">The CPU is in an interrupt or another context in which it cannot switch tasks.</exception>
    public ContextScope Run(KernelTask task)
    {
        ArgumentNullException.ThrowIfNull(task);
        if (task.Home is { } home && !ReferenceEquals(home, Machine))
        {
            throw new ArgumentException($"{task} belongs to another machine", nameof(task));
        }

        if (Context.InAtomic)
        {
            throw new InvalidOperationException($"CPU {Id} cannot switch to {task}: scheduling while atomic (preempt_count 0x{Context.PreemptCount:x8})");
        }

        Machine.CpuTable.TaskSwitching?.Check(this, Current, task);
        KernelTask previous = Current;
        if (Machine.IsParallel)
        {
            Context.Driver = Environment.CurrentManagedThreadId;
        }

        Machine.CpuTable.TaskSwitching?.Switch(this, previous, task);
        previous.RunsOn = null;
        task.RunsOn = this;
        Current = task;
        Context.UpdateMode();
        task.Enter(this);
        return new ContextScope(this, ContextKind.Task, previous, default);
    }

    /// <summary>Whether the context needs a look before anything is allocated or freed.</summary>
    internal bool IsSpecial => Mode == CpuMode.Special;
}
