namespace MemSim.PageAllocation;

/// <summary>Which of the two forms of the hot paths is compiled: a strategy that costs nothing at run time.</summary>
internal interface IPath
{
    /// <summary>Whether locks may be real and tracepoints may have listeners; false where neither has to be looked at.</summary>
    static abstract bool IsObserved { get; }

    /// <summary>Whether the limits of per-CPU lists are known to move; where <see cref="IsObserved"/>, the lists themselves know.</summary>
    static abstract bool Moves { get; }
}

/// <summary>A single-threaded machine that nobody watches, with fixed limits of per-CPU lists.</summary>
internal readonly struct PlainPath : IPath
{
    public static bool IsObserved => false;

    public static bool Moves => false;
}

/// <summary>A single-threaded machine that nobody watches, with limits that move.</summary>
internal readonly struct MovingPath : IPath
{
    public static bool IsObserved => false;

    public static bool Moves => true;
}

/// <summary>A machine with parallel CPUs or attached sinks.</summary>
internal readonly struct ObservedPath : IPath
{
    public static bool IsObserved => true;

    public static bool Moves => false;
}
