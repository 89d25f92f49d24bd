using MemSim.Observability;

namespace MemSim;

/// <content>Who holds memory, and what happens when there is none.</content>
public sealed partial class Machine
{
    /// <summary>Who holds memory: live pages, objects and areas by call site, leaks since a mark.</summary>
    public LeakDetector Leaks { get; }

    /// <summary>Allocations that fail on purpose (<c>fail_page_alloc</c>, <c>failslab</c>).</summary>
    public FaultInjection FaultInjection { get; }
}
