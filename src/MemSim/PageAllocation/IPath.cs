namespace MemSim.PageAllocation;

/// <summary>Which of the two forms of the hot paths is compiled: a strategy that costs nothing at run time.</summary>
internal interface IPath
{
    /// <summary>Whether locks may be real and tracepoints may have listeners; false where neither has to be looked at.</summary>
    static abstract bool IsObserved { get; }

    /// <summary>Whether the limits of per-CPU lists are known to move; where <see cref="IsObserved"/> or <see cref="IsParallel"/>, the lists themselves know.</summary>
    static abstract bool Moves { get; }

    /// <summary>Whether locks are known to be real.</summary>
    static abstract bool IsParallel { get; }
}

/// <summary>A single-threaded machine that nobody watches, with fixed limits of per-CPU lists.</summary>
internal readonly struct PlainPath : IPath
{
    public static bool IsObserved => false;

    public static bool Moves => false;

    public static bool IsParallel => false;
}

/// <summary>A single-threaded machine that nobody watches, with limits that move.</summary>
internal readonly struct MovingPath : IPath
{
    public static bool IsObserved => false;

    public static bool Moves => true;

    public static bool IsParallel => false;
}

/// <summary>A machine with parallel CPUs that nobody watches.</summary>
internal readonly struct ParallelPath : IPath
{
    public static bool IsObserved => false;

    public static bool Moves => false;

    public static bool IsParallel => true;
}

/// <summary>A machine with attached sinks, whether its CPUs are parallel or not.</summary>
internal readonly struct ObservedPath : IPath
{
    public static bool IsObserved => true;

    public static bool Moves => false;

    public static bool IsParallel => false;
}
