using MemSim.Background;

namespace MemSim;

/// <content>Background threads.</content>
public sealed partial class Machine
{
    internal BackgroundTasks BackgroundTasks { get; private set; } = null!;

    /// <summary>Who lets kswapd work while others do; null where it works inside the call that wakes it, or when it is told to.</summary>
    internal ISharedTime? SharedTime { get; private set; }

    /// <summary>The time in nanoseconds, on whichever clock the machine lives by.</summary>
    internal long NowNanoseconds => SharedTime?.Now ?? Clock.Nanoseconds;

    /// <summary>From now on kswapd works at the same time as whoever uses the machine, who says with <see cref="ISharedTime.Breathe"/> when he can be interrupted.</summary>
    internal void ShareTime(ISharedTime time) => SharedTime = time;
}
