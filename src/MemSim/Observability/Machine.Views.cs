using MemSim.Observability;

namespace MemSim;

/// <content>The explanation of a request.</content>
public sealed partial class Machine
{
    /// <summary>Says whether a request would succeed now and why: each term of the check of each zone it may use, and what would have saved it. Changes nothing.</summary>
    /// <param name="gfp">The request's flags.</param>
    /// <param name="order">log2 of the number of pages, 0 to <see cref="PageGeometry.MaxOrder"/>.</param>
    /// <param name="cpu">The CPU it is made on, with its context and task; the first one when null.</param>
    /// <returns>The explanation, as object and, by <c>ToString()</c>, as text.</returns>
    /// <remarks>What reclaim and compaction would achieve is not foreseen: a request that may wait is explained as if both found nothing.</remarks>
    public AllocationExplanation Explain(Gfp gfp, int order = 0, Cpu? cpu = null)
    {
        ThrowIfDisposed();
        ArgumentOutOfRangeException.ThrowIfNegative(order);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(order, PageGeometry.MaxOrder);
        return AllocationExplainer.Explain(cpu is null ? Cpus[0] : CpuTable.Own(cpu), gfp, order);
    }
}
