namespace MemSim;

/// <summary>When kernel threads do their work. <see cref="Machine.Background"/>.</summary>
public sealed class MachineBackground
{
    private readonly Machine _machine;

    internal MachineBackground(Machine machine) => _machine = machine;

    /// <summary>When background threads do their work; <see cref="BackgroundWork.Inline"/> unless said otherwise.</summary>
    public BackgroundWork Mode
    {
        get => _machine.BackgroundTasks.Mode;
        set => _machine.BackgroundTasks.Mode = value;
    }

    /// <summary>Runs the background threads that were woken, and those they wake, until all sleep.</summary>
    /// <returns>How often one of them ran.</returns>
    public int Run()
    {
        _machine.ThrowIfDisposed();
        return _machine.BackgroundTasks.RunPending(_machine.CallersCpu());
    }
}

/// <content>Kernel threads: when they work, and running those that were woken.</content>
public sealed partial class Machine
{
    /// <summary>Kernel threads: when they work, and running those that were woken.</summary>
    public MachineBackground Background { get; }
}
