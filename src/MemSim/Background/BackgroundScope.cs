namespace MemSim.Background;

/// <summary>A CPU lent to a background thread; disposing it gives the CPU back to what it did before.</summary>
internal readonly struct BackgroundScope : IDisposable
{
    private readonly Cpu _cpu;
    private readonly KernelTask _task;
    private readonly int _preemptCount;
    private readonly int _irqDisableDepth;
    private readonly int _spinlocksHeld;

    public BackgroundScope(Cpu cpu, KernelTask task, int preemptCount, int irqDisableDepth, int spinlocksHeld)
    {
        _cpu = cpu;
        _task = task;
        _preemptCount = preemptCount;
        _irqDisableDepth = irqDisableDepth;
        _spinlocksHeld = spinlocksHeld;
    }

    public void Dispose() => _cpu.LeaveBackground(_task, _preemptCount, _irqDisableDepth, _spinlocksHeld);
}
