namespace MemSim;

/// <content>Kernel stacks.</content>
public sealed partial class Machine
{
    private KernelStackOptions _stackOptions = KernelStackOptions.Default;
    private KernelStacks? _stacks;

    /// <summary>The kernel stacks; those of interrupts are made when first asked for, by the first CPU: on a machine with parallel CPUs ask before several threads drive them.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents of RAM, or has no memory left.</exception>
    public KernelStacks Stacks => Volatile.Read(ref _stacks) ?? MakeStacks();

    /// <summary>Chooses how kernel stacks are made.</summary>
    /// <param name="options">The options.</param>
    /// <exception cref="ArgumentException">The options contradict each other.</exception>
    /// <exception cref="InvalidOperationException">There are stacks already.</exception>
    public void ConfigureStacks(KernelStackOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ThrowIfDisposed();
        if (options.Pages is not (0 or 1 or 2 or 4) || options.ThreadInfoBytes is < 0 or > 1024)
        {
            throw new ArgumentException("stacks have 1, 2 or 4 pages, and thread_info has up to 1024 bytes", nameof(options));
        }

        _stackOptions = _stacks is null ? options : throw new InvalidOperationException("there are kernel stacks already: configure them before the first one");
    }

    private KernelStacks MakeStacks()
    {
        ThrowIfDisposed();
        _ = Mmu;
        lock (_kernelMemoryCreation)
        {
            if (_stacks is null)
            {
                Volatile.Write(ref _stacks, new KernelStacks(this, _stackOptions));
            }

            return _stacks!;
        }
    }
}

/// <content>The stack in use.</content>
public sealed partial class Cpu
{
    /// <summary>The stack that code runs on now: of interrupts while one is served, else the current task's; null when that has none.</summary>
    public KernelStack? Stack => InHardIrq || InNmi ? Machine.Stacks.HardIrq(this) : InSoftIrq ? Machine.Stacks.SoftIrq(this) : _current.Stack;
}
