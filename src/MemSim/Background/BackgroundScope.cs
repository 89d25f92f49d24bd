namespace MemSim.Background;

/// <summary>A CPU lent to a background thread; disposing it gives the CPU back to what it did before.</summary>
internal readonly struct BackgroundScope : IDisposable
{
    private readonly CpuContext _context;
    private readonly CpuContext.LentContext _lent;

    public BackgroundScope(Cpu cpu, KernelTask thread)
    {
        _context = cpu.Context;
        _lent = _context.Lend(thread);
    }

    public void Dispose() => _context.Return(_lent);
}
