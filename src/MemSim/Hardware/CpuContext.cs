using MemSim.Diagnostics;
using MemSim.Hardware;

namespace MemSim;

/// <summary>The context that code on a CPU runs in: interrupts, preemption, locks held, what the task may do. <see cref="Cpu.Context"/>.</summary>
public sealed partial class CpuContext
{
    private readonly Cpu _cpu;

    internal CpuContext(Cpu cpu, KernelTask idle)
    {
        _cpu = cpu;
        _idle = idle;
        Drivers = cpu.Machine.IsParallel ? new DriverGuard($"CPU {cpu.Id}", "each CPU is driven by one thread at a time; give each thread a CPU of its own.") : null;
    }

    /// <summary>Disables preemption until the scope is disposed (<c>preempt_disable()</c>).</summary>
    public ContextScope DisablePreemption() => Enter(ContextKind.Preempt);

    /// <summary>Disables interrupts until the scope is disposed (<c>local_irq_save()</c>).</summary>
    public ContextScope DisableInterrupts() => Enter(ContextKind.Irq);

    /// <summary>Holds a spinlock until the scope is disposed (<c>spin_lock()</c>): preemption is off.</summary>
    public ContextScope HoldSpinlock() => Enter(ContextKind.Spinlock);

    /// <summary>Keeps reclaim from starting I/O until the scope is disposed (<c>memalloc_noio_save()</c>).</summary>
    public ContextScope MemAllocNoIo() => EnterTaskFlag(TaskFlags.MemAllocNoIo);

    /// <summary>Keeps reclaim from calling file systems until the scope is disposed (<c>memalloc_nofs_save()</c>).</summary>
    public ContextScope MemAllocNoFs() => EnterTaskFlag(TaskFlags.MemAllocNoFs);

    /// <summary>Until disposed, what the current task allocates is not movable (<c>memalloc_pin_save()</c>): it will be pinned for long.</summary>
    public ContextScope MemAllocPin() => EnterTaskFlag(TaskFlags.MemAllocPin);

    /// <summary>Gives the current task access to all reserves until the scope is disposed (<c>PF_MEMALLOC</c>, <c>memalloc_noreclaim_save()</c>).</summary>
    public ContextScope MemAlloc() => EnterTaskFlag(TaskFlags.MemAlloc);

    /// <summary>Complains when the code running now must not sleep (<c>might_sleep()</c>).</summary>
    /// <param name="what">The function that might sleep.</param>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public void MightSleep(string what = "might_sleep")
    {
        if (InAtomic)
        {
            _cpu.Machine.Bugs.SleepingInAtomic(_cpu, what);
        }
    }

    /// <summary>Whether page faults are disabled: inside of <see cref="CpuHighMemory.KmapAtomic(Page)"/> no fault is handled (<c>pagefault_disabled()</c>).</summary>
    public bool PageFaultsDisabled => _cpu.Machine.CpuTable.TaskSwitching?.DisablesPageFaults(_cpu.Current) == true;

    /// <summary>How often preemption is disabled, spinlocks included (<c>preempt_count()</c> without interrupts).</summary>
    public int PreemptDepth => _preemptCount & PreemptMask;

    /// <summary>The kernel's <c>preempt_count</c> word, as reports print it.</summary>
    public int PreemptCount => _preemptCount;

    /// <summary>Spinlocks held.</summary>
    public int SpinlocksHeld => _spinlocksHeld;

    /// <summary>Whether interrupts are disabled (<c>irqs_disabled()</c>).</summary>
    public bool InterruptsDisabled => _irqDisableDepth != 0;

    /// <summary>Whether the CPU serves a hardware interrupt (<c>in_hardirq()</c>).</summary>
    public bool InHardIrq => (_preemptCount & HardIrqMask) != 0;

    /// <summary>Whether the CPU serves a soft interrupt (<c>in_serving_softirq()</c>).</summary>
    public bool InSoftIrq => (_preemptCount & SoftIrqMask) != 0;

    /// <summary>Whether the CPU serves a non-maskable interrupt (<c>in_nmi()</c>).</summary>
    public bool InNmi => (_preemptCount & NmiMask) != 0;

    /// <summary>Whether the CPU is in any interrupt (<c>in_interrupt()</c>).</summary>
    public bool InInterrupt => (_preemptCount & (HardIrqMask | SoftIrqMask | NmiMask)) != 0;

    /// <summary>Whether code running now must not sleep: in an interrupt, with preemption or interrupts disabled, or holding a spinlock.</summary>
    public bool InAtomic => _preemptCount != 0 || _irqDisableDepth != 0;
}

/// <content>The context that code runs in, and the ways into others.</content>
public sealed partial class Cpu
{
    /// <summary>The context that code runs in, and the ways into others.</summary>
    public CpuContext Context { get; }
}
