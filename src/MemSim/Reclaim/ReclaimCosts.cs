namespace MemSim.Reclaim;

/// <summary>What reclaim costs on the simulated clock, in nanoseconds: of the order that traces of real machines show, for pressure figures, not for timing anything.</summary>
internal sealed record ReclaimCosts
{
    /// <summary>Looking at a page.</summary>
    public long ScanNanoseconds { get; init; } = 250;

    /// <summary>A direct reclaim, whatever it does.</summary>
    public long RoundNanoseconds { get; init; } = 2_000;

    /// <summary>A wait because reclaim gets nowhere: one tick of 250 Hz.</summary>
    public long ThrottleNanoseconds { get; init; } = 4_000_000;
}
