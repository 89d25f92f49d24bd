namespace MemSim.Background;

/// <summary>Lets kernel threads work at the same time as whoever uses the machine; without one they work inside the call that wakes them, or when they are told to.</summary>
internal interface ISharedTime
{
    /// <summary>The time, in nanoseconds: the machine's own clock stands still meanwhile.</summary>
    long Now { get; }

    /// <summary>The task reached a point at which others may run.</summary>
    void Breathe(Cpu cpu);

    /// <summary>The task ends a pass over its lists: what it collected for a device is sent now (<c>blk_finish_plug()</c>).</summary>
    void SendWrites(Cpu cpu);

    /// <summary>The task sleeps; others run meanwhile.</summary>
    /// <param name="cpu">The task's CPU.</param>
    /// <param name="nanoseconds">At most how long.</param>
    /// <param name="isOver">Whether it may go on before; null for never.</param>
    void Sleep(Cpu cpu, long nanoseconds, Func<bool>? isOver = null);

    /// <summary>Reclaim gets nowhere (<c>reclaim_throttle()</c>).</summary>
    void Throttle(Cpu cpu, Node node, ReclaimThrottleReason reason);

    /// <summary>Before somebody is killed the report is printed.</summary>
    void ReportOutOfMemory(Cpu cpu);

    /// <summary>A thread is to run.</summary>
    /// <returns>Whether it is one of those that get their time here; the others run when the machine says so.</returns>
    bool Wake(BackgroundTask task);

    /// <summary>Whether somebody woke a thread before its doze was over.</summary>
    bool WokeEarly(BackgroundTask task);
}
