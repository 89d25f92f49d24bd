using MemSim.Background;

namespace MemSim;

/// <summary>When kernel threads do their work. <see cref="Machine.Background"/>.</summary>
public sealed class MachineBackground
{
    private readonly Machine _machine;

    internal MachineBackground(Machine machine) => _machine = machine;

    /// <summary>When background threads do their work; <see cref="BackgroundWork.Inline"/> unless said otherwise.</summary>
    public BackgroundWork Mode
    {
        get => Tasks.Mode;
        set => Tasks.Mode = value;
    }

    /// <summary>Runs the background threads that were woken, and those they wake, until all sleep.</summary>
    /// <returns>How often one of them ran.</returns>
    public int Run()
    {
        _machine.ThrowIfDisposed();
        return Tasks.RunPending(_machine.CpuTable.CallersCpu());
    }

    /// <summary>The threads, and which of them were woken.</summary>
    internal BackgroundTasks Tasks { get; set; } = null!;

    /// <summary>Who lets kswapd work while others do; null where it works inside the call that wakes it, or when it is told to.</summary>
    internal ISharedTime? SharedTime { get; private set; }

    /// <summary>The time in nanoseconds, on whichever clock the machine lives by.</summary>
    internal long NowNanoseconds => SharedTime?.Now ?? _machine.Clock.Nanoseconds;

    /// <summary>From now on kswapd works at the same time as whoever uses the machine, who says with <see cref="ISharedTime.Breathe"/> when he can be interrupted.</summary>
    internal void ShareTime(ISharedTime time) => SharedTime = time;
}

/// <content>Kernel threads: when they work, and running those that were woken.</content>
public sealed partial class Machine
{
    /// <summary>Kernel threads: when they work, and running those that were woken.</summary>
    public MachineBackground Background { get; }
}
