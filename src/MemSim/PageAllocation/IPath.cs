namespace MemSim.PageAllocation;

/// <summary>Which of the two forms of the hot paths is compiled: a strategy that costs nothing at run time.</summary>
internal interface IPath
{
    /// <summary>Whether locks may be real and tracepoints may have listeners; false where neither has to be looked at.</summary>
    static abstract bool IsObserved { get; }
}

/// <summary>A single-threaded machine that nobody watches.</summary>
internal readonly struct PlainPath : IPath
{
    public static bool IsObserved => false;
}

/// <summary>A machine with parallel CPUs or attached sinks.</summary>
internal readonly struct ObservedPath : IPath
{
    public static bool IsObserved => true;
}
