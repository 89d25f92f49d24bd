namespace MemSim.Testing;

/// <summary>A machine in a stated condition, with what was taken to bring it there. Disposing it disposes the machine.</summary>
public sealed class MachineFixture : IDisposable
{
    private readonly List<(Page Page, int Order)> _held;

    internal MachineFixture(Machine machine, List<(Page Page, int Order)> held)
    {
        Machine = machine;
        _held = held;
    }

    /// <summary>The machine.</summary>
    public Machine Machine { get; }

    /// <summary>Its first CPU.</summary>
    public Cpu Cpu => Machine.Cpus[0];

    /// <summary>The blocks that are held, in the order in which they were taken.</summary>
    public IReadOnlyList<(Page Page, int Order)> Held => _held;

    /// <summary>Gives some of what is held back, what was taken last first.</summary>
    /// <param name="blocks">How many blocks; more than there are is all of them.</param>
    public void Release(int blocks = int.MaxValue)
    {
        for (int i = 0; i < blocks && _held.Count != 0; i++)
        {
            (Page page, int order) = _held[^1];
            _held.RemoveAt(_held.Count - 1);
            Cpu.FreePages(page, order);
        }
    }

    /// <summary>Disposes the machine.</summary>
    public void Dispose() => Machine.Dispose();
}
