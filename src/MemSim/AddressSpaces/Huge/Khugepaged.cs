namespace MemSim;

/// <summary>The thread that makes huge pages of small ones (<c>/sys/kernel/mm/transparent_hugepage/khugepaged</c>).</summary>
public sealed class Khugepaged
{
    internal Khugepaged(Machine machine, HugePages settings)
    {
        _ = machine;
        _ = settings;
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
