namespace MemSim;

/// <content>Kernel stacks.</content>
public sealed partial class Machine
{
    /// <summary>The kernel stacks; those of interrupts are there from boot on.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents of RAM.</exception>
    public KernelStacks Stacks
    {
        get => NeedsContents(field);
        private set;
    } = null!;
}

/// <content>The stack in use.</content>
public sealed partial class Cpu
{
    /// <summary>The stack that code runs on now: of interrupts while one is served, else the current task's; null when that has none, or RAM no contents.</summary>
    public KernelStack? Stack =>
        !Machine.Ram.HasContents ? null : Context.InHardIrq || Context.InNmi ? Machine.Stacks.HardIrq(this) : Context.InSoftIrq ? Machine.Stacks.SoftIrq(this) : Current.Stack;
}
