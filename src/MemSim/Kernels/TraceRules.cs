namespace MemSim.Kernels;

/// <summary>How tracepoints and flags are written.</summary>
public sealed record TraceRules
{
    /// <summary>
    /// Whether a task can lose the CPU between taking a page off a list, or giving it back, and the event that tells of it (lazy preemption, 6.18): events of two
    /// tasks then need not stand in the order in which they touched the lists. Interrupts can come in between on every kernel.
    /// </summary>
    public bool PreemptsLazily { get; init; }

    /// <summary>Whether single flags of requests are written in the order of their bits (<c>__GFP_ZERO</c> before <c>__GFP_COMP</c>) and there is no <c>__GFP_ATOMIC</c> (seen from 6.18 on).</summary>
    public bool FlagsByBit { get; init; }
}
