namespace MemSim;

/// <content>The per-CPU allocator.</content>
public sealed partial class Machine
{
    private PerCpuAllocator? _perCpu;

    /// <summary>The per-CPU allocator: variables and objects of which every CPU has its own copy.</summary>
    public PerCpuAllocator PerCpu
    {
        get
        {
            ThrowIfDisposed();
            return _perCpu!;
        }
    }
}
