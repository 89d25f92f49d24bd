namespace MemSim;

/// <summary>What came of the hardware errors of a node (<c>/sys/devices/system/node/nodeN/memory_failure</c>).</summary>
/// <param name="Total">Errors in memory that was in use or free.</param>
/// <param name="Ignored">Nothing could be done: the kernel's own memory.</param>
/// <param name="Failed">Something was tried, and somebody still uses the page.</param>
/// <param name="Delayed">The page is out of use as soon as its slot in swap is free.</param>
/// <param name="Recovered">The page is out of use.</param>
public readonly record struct MemoryFailureCounts(long Total, long Ignored, long Failed, long Delayed, long Recovered);

/// <summary>What is known of a hardware error (<c>MF_*</c>).</summary>
[Flags]
public enum MemoryFailureFlags
{
    /// <summary>It was found by looking (scrubbing): nobody has used the memory yet.</summary>
    None = 0,

    /// <summary><c>MF_ACTION_REQUIRED</c>: the process that runs was about to use it.</summary>
    ActionRequired = 2,

    /// <summary><c>MF_MUST_KILL</c>: processes cannot go on, even if the page is clean.</summary>
    MustKill = 4,
}

/// <summary>How dealing with an error ended (<c>enum mf_result</c>).</summary>
internal enum MemoryFailureResult
{
    Ignored,
    Failed,
    Delayed,
    Recovered,
}
