using MemSim.Background;

namespace MemSim;

/// <content>Background threads.</content>
public sealed partial class Machine
{
    private BackgroundTasks? _background;

    /// <summary>When background threads do their work; <see cref="MemSim.BackgroundWork.Inline"/> unless said otherwise.</summary>
    public BackgroundWork BackgroundWork
    {
        get => Background.Mode;
        set => Background.Mode = value;
    }

    internal BackgroundTasks Background => _background ??= new BackgroundTasks(this);

    /// <summary>Who lets kswapd work while others do; null where it works inside the call that wakes it, or when it is told to.</summary>
    internal TimeShares? TimeShares { get; private set; }

    /// <summary>From now on kswapd works at the same time as whoever uses the machine (<see cref="Background.TimeShares"/>), who says with <see cref="Background.TimeShares.Breathe"/> when he can be interrupted.</summary>
    internal TimeShares ShareTime(WorkCosts costs) => TimeShares = new TimeShares(this, costs);

    /// <summary>Runs the background threads that were woken, and those they wake, until all sleep.</summary>
    /// <returns>How often one of them ran.</returns>
    public int RunBackground()
    {
        ThrowIfDisposed();
        return Background.RunPending(CallersCpu());
    }
}
