using MemSim.Boot;

namespace MemSim;

/// <summary>Machines whose kernel is built with idle page tracking.</summary>
public static class IdlePageTrackingSpec
{
    /// <summary>With idle page tracking (<c>CONFIG_IDLE_PAGE_TRACKING</c>, 4.3): <see cref="MachineReclaim.IdlePages"/>. On 32 bits it takes four bytes more for each page.</summary>
    /// <param name="spec">The machine.</param>
    public static MachineSpec WithIdlePageTracking(this MachineSpec spec)
    {
        ArgumentNullException.ThrowIfNull(spec);
        return spec with { Recorded = spec.Recorded | PageRecords.Idleness };
    }
}
