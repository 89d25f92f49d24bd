namespace MemSim;

/// <summary>The thread that makes huge pages of small ones (<c>/sys/kernel/mm/transparent_hugepage/khugepaged</c>).</summary>
public sealed class Khugepaged
{
    internal Khugepaged(Machine machine, HugePages settings)
    {
        _ = machine;
        _ = settings;
    }

    /// <summary>One pass.</summary>
    /// <param name="cpu">The CPU.</param>
    public void Run(Cpu cpu)
    {
        _ = cpu;
    }

    internal void Enter(MemoryDescriptor mm)
    {
        _ = mm;
    }

    internal void Forget(MemoryDescriptor mm)
    {
        _ = mm;
    }
}
