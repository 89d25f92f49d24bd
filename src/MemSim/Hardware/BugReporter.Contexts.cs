using System.Globalization;

namespace MemSim.Diagnostics;

/// <content>Contexts in which something must not happen.</content>
internal sealed partial class BugReporter
{
    /// <summary>Reports a call that would change the machine, made by code which the kernel called itself.</summary>
    public void Reentered(Cpu cpu) =>
        Raise(KernelBugKind.Deadlock, "WARNING: possible recursive locking detected: a receiver of tracepoints, or an owner of movable pages, calls back into the kernel", Context(cpu)
            + "The kernel holds locks where it calls it. Note what happened and act on it after the call that caused it.\n");

    /// <summary>Reports something that may sleep in atomic context.</summary>
    public void SleepingInAtomic(Cpu cpu, string what, Gfp gfp = Gfp.None)
    {
        string advice = gfp == Gfp.None ? "" : $"Use GFP_ATOMIC or GFP_NOWAIT here; {GfpText.FormatWithHex(gfp)} may reclaim, and reclaim sleeps.";
        Raise(KernelBugKind.SleepingInAtomic, $"BUG: sleeping function called from invalid context at {what}", string.Create(CultureInfo.InvariantCulture,
            $"in_atomic(): {(cpu.Context.PreemptCount != 0 ? 1 : 0)}, irqs_disabled(): {(cpu.Context.InterruptsDisabled ? 1 : 0)}, non_block: 0, pid: {cpu.Current.Pid}, name: {cpu.Current.Name}\npreempt_count: {cpu.Context.PreemptCount:x}, expected: 0\n")
            + Context(cpu) + advice);
    }

    private static string Context(Cpu cpu)
    {
        string where = cpu.Context.InNmi ? "NMI" : cpu.Context.InHardIrq ? "hardirq" : cpu.Context.InSoftIrq ? "softirq" : "process";
        return string.Create(CultureInfo.InvariantCulture,
            $"CPU: {cpu.Id} PID: {cpu.Current.Pid} Comm: {cpu.Current.Name} context: {where}, preempt depth {cpu.Context.PreemptDepth}, interrupts {(cpu.Context.InterruptsDisabled ? "off" : "on")}, spinlocks held {cpu.Context.SpinlocksHeld}\n");
    }
}
