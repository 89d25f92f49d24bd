using MemSim.Background;

namespace MemSim;

/// <content>Background threads.</content>
public sealed partial class Machine
{
    /// <summary>When background threads do their work; <see cref="BackgroundWork.Inline"/> unless said otherwise.</summary>
    public BackgroundWork BackgroundWork
    {
        get => Background.Mode;
        set => Background.Mode = value;
    }

    internal BackgroundTasks Background { get; private set; } = null!;

    /// <summary>Who lets kswapd work while others do; null where it works inside the call that wakes it, or when it is told to.</summary>
    internal ISharedTime? SharedTime { get; private set; }

    /// <summary>From now on kswapd works at the same time as whoever uses the machine, who says with <see cref="ISharedTime.Breathe"/> when he can be interrupted.</summary>
    internal void ShareTime(ISharedTime time) => SharedTime = time;

    /// <summary>Runs the background threads that were woken, and those they wake, until all sleep.</summary>
    /// <returns>How often one of them ran.</returns>
    public int RunBackground()
    {
        ThrowIfDisposed();
        return Background.RunPending(CallersCpu());
    }
}
