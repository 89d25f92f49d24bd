namespace MemSim;

/// <content>The per-CPU allocator.</content>
public sealed partial class Machine
{
    /// <summary>The per-CPU allocator: variables and objects of which every CPU has its own copy.</summary>
    public PerCpuAllocator PerCpu
    {
        get
        {
            ThrowIfDisposed();
            return field;
        }
        private set;
    } = null!;
}
