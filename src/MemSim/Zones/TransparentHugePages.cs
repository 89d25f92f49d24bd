namespace MemSim;

/// <summary>The state of transparent huge pages: khugepaged asks for more free memory when they are on.</summary>
public enum TransparentHugePages
{
    /// <summary>The CPU has no huge pages, or the kernel was built without them: khugepaged is not set up at all.</summary>
    Unavailable,

    /// <summary>Off (<c>never</c>).</summary>
    Never,

    /// <summary>On where a process asks for them.</summary>
    Madvise,

    /// <summary>On everywhere.</summary>
    Always,
}
