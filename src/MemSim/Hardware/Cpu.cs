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
    // The kernel's preempt_count: 8 bits of preemption depth, 8 of softirq, 4 of hardirq, 4 of NMI.
    private const int SoftIrqUnit = 1 << 8;
    private const int HardIrqUnit = 1 << 16;
    private const int NmiUnit = 1 << 20;
    internal const int PreemptMask = 0xff;
    private const int SoftIrqMask = 0xff00;
    private const int HardIrqMask = 0xf0000;
    private const int NmiMask = 0xf00000;

    private int _preemptCount;
    private int _irqDisableDepth;
    private int _spinlocksHeld;
    private KernelTask _current;
    private readonly KernelTask _idle;

    /// <summary>What the hot paths have to look at.</summary>
    internal CpuMode Mode = CpuMode.Special;

    /// <summary>Whether an atomic mapping remembers the mode before it: until somebody calls <see cref="UpdateMode"/>.</summary>
    internal bool _knowsModeBefore;

    internal Cpu(Machine machine, int id, Node node)
    {
        Machine = machine;
        Id = id;
        Node = node;
        Drivers = machine.IsParallel ? new DriverGuard($"CPU {id}", "each CPU is driven by one thread at a time; give each thread a CPU of its own.") : null;
        _current = _idle = new KernelTask($"swapper/{id}", 0) { RunsOn = this };
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
    public KernelTask Current => _current;

    /// <summary>How often preemption is disabled, spinlocks included (<c>preempt_count()</c> without interrupts).</summary>
    internal int PreemptDepth => _preemptCount & PreemptMask;

    /// <summary>Whether interrupts are disabled (<c>irqs_disabled()</c>).</summary>
    internal bool InterruptsDisabled => _irqDisableDepth != 0;

    /// <summary>Spinlocks held.</summary>
    internal int SpinlocksHeld => _spinlocksHeld;

    /// <summary>Whether the CPU serves a hardware interrupt (<c>in_hardirq()</c>).</summary>
    internal bool InHardIrq => (_preemptCount & HardIrqMask) != 0;

    /// <summary>Whether the CPU serves a soft interrupt (<c>in_serving_softirq()</c>).</summary>
    internal bool InSoftIrq => (_preemptCount & SoftIrqMask) != 0;

    /// <summary>Whether the CPU serves a non-maskable interrupt (<c>in_nmi()</c>).</summary>
    internal bool InNmi => (_preemptCount & NmiMask) != 0;

    /// <summary>Whether the CPU is in any interrupt (<c>in_interrupt()</c>).</summary>
    internal bool InInterrupt => (_preemptCount & (HardIrqMask | SoftIrqMask | NmiMask)) != 0;

    /// <summary>Whether code running now must not sleep: in an interrupt, with preemption or interrupts disabled, or holding a spinlock.</summary>
    internal bool InAtomic => _preemptCount != 0 || _irqDisableDepth != 0;

    /// <summary>The kernel's <c>preempt_count</c> word, as reports print it.</summary>
    internal int PreemptCount => _preemptCount;

    /// <summary>Serves a hardware interrupt until the scope is disposed: nothing may sleep, the current task's rights do not count.</summary>
    public ContextScope HardIrq() => Enter(ContextKind.HardIrq);

    /// <summary>Serves a soft interrupt until the scope is disposed.</summary>
    public ContextScope SoftIrq() => Enter(ContextKind.SoftIrq);

    /// <summary>Serves a non-maskable interrupt until the scope is disposed: the page allocator must not be used at all.</summary>
    public ContextScope Nmi() => Enter(ContextKind.Nmi);

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

        if (InAtomic)
        {
            throw new InvalidOperationException($"CPU {Id} cannot switch to {task}: scheduling while atomic (preempt_count 0x{_preemptCount:x8})");
        }

        Machine.CpuTable.TaskSwitching?.Check(this, _current, task);
        KernelTask previous = _current;
        if (Machine.IsParallel)
        {
            Driver = Environment.CurrentManagedThreadId;
        }

        Machine.CpuTable.TaskSwitching?.Switch(this, previous, task);
        previous.RunsOn = null;
        task.RunsOn = this;
        _current = task;
        UpdateMode();
        task.Enter(this);
        return new ContextScope(this, ContextKind.Task, previous, default);
    }

    /// <summary>The host thread that last ran a task here, on a machine with parallel CPUs; 0 when none did.</summary>
    internal int Driver { get; private set; }

    /// <summary>Who drives the CPU, on a machine with parallel CPUs; null elsewhere.</summary>
    internal DriverGuard? Drivers { get; }

    /// <summary>Whether no task runs here.</summary>
    internal bool IsIdle => ReferenceEquals(_current, _idle);

    /// <summary>Whether the context needs a look before anything is allocated or freed.</summary>
    internal bool IsSpecial => Mode == CpuMode.Special;

    internal void UpdateMode()
    {
        _knowsModeBefore = false;
        bool special = _preemptCount != 0 || _irqDisableDepth != 0 || _current.NeedsAttention || Machine.IsDisposed || Machine.CpuTable.ChecksEveryRequest || !IsOnline || Machine.Callouts.IsInUserCode;
        Mode = special ? CpuMode.Special : Machine.CpuTable.UsualMode;
    }

    internal void Leave(ContextKind kind, KernelTask? previous, TaskFlags added)
    {
        if (IsLeft(kind))
        {
            throw new InvalidOperationException($"CPU {Id} is not in the context ({kind}) that is being left: a scope was disposed twice");
        }

        switch (kind)
        {
            case ContextKind.Task:
                Machine.CpuTable.TaskSwitching?.Switch(this, _current, previous ?? _idle);
                KernelTask left = _current;
                left.RunsOn = null;
                _current = previous ?? _idle;
                _current.RunsOn = this;
                _current.Enter(this);
                left.Left(this);
                break;
            case ContextKind.TaskFlag:
                previous!.Flags &= ~added;
                break;
            case ContextKind.Irq:
                _irqDisableDepth--;
                break;
            case ContextKind.Spinlock:
                _spinlocksHeld--;
                _preemptCount--;
                break;
            default:
                _preemptCount -= Unit(kind);
                break;
        }

        UpdateMode();
    }

    private bool IsLeft(ContextKind kind) => kind switch
    {
        ContextKind.Task or ContextKind.TaskFlag => false,
        ContextKind.Irq => _irqDisableDepth == 0,
        ContextKind.Spinlock => _spinlocksHeld == 0,
        ContextKind.Preempt => PreemptDepth == _spinlocksHeld,
        _ => (_preemptCount & MaskOf(kind)) == 0,
    };

    private static int MaskOf(ContextKind kind) => kind switch
    {
        ContextKind.HardIrq => HardIrqMask,
        ContextKind.SoftIrq => SoftIrqMask,
        ContextKind.Nmi => NmiMask,
        _ => PreemptMask,
    };

    private static int Unit(ContextKind kind) => kind switch
    {
        ContextKind.HardIrq => HardIrqUnit,
        ContextKind.SoftIrq => SoftIrqUnit,
        ContextKind.Nmi => NmiUnit + HardIrqUnit,
        _ => 1,
    };

    internal ContextScope Enter(ContextKind kind)
    {
        int mask = MaskOf(kind);
        if (kind != ContextKind.Irq && ((_preemptCount & mask) == mask || (kind == ContextKind.Nmi && (_preemptCount & HardIrqMask) == HardIrqMask)))
        {
            throw new InvalidOperationException($"CPU {Id}: contexts nested too deeply (preempt_count 0x{_preemptCount:x8})");
        }

        switch (kind)
        {
            case ContextKind.Irq:
                _irqDisableDepth++;
                break;
            case ContextKind.Spinlock:
                _spinlocksHeld++;
                _preemptCount++;
                break;
            default:
                _preemptCount += Unit(kind);
                break;
        }

        UpdateMode();
        return new ContextScope(this, kind, null, default);
    }

    internal ContextScope EnterTaskFlag(TaskFlags flag)
    {
        TaskFlags added = flag & ~_current.Flags;
        _current.Flags |= flag;
        UpdateMode();
        return new ContextScope(this, ContextKind.TaskFlag, _current, added);
    }
}
