using MemSim.Observability;
using MemSim.Zones;

namespace MemSim;

/// <content>What the views of the machine need and nothing else does, and the explanation of a request.</content>
public sealed partial class Machine
{
    /// <summary>log2 of the pages in a section of the sparse memory model (128 MiB).</summary>
    private const int SectionOrder = 15;

    private const ulong VmemmapX86 = 0xffff_ea00_0000_0000;
    private const ulong VmemmapArm64 = 0xffff_fc00_0000_0000;

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
        return AllocationExplainer.Explain(cpu is null ? Cpus[0] : Own(cpu), gfp, order);
    }

    /// <summary>The address of a frame's <c>struct page</c> in the kernel; in a flat memory map as if the map lay at the top of low memory.</summary>
    internal ulong PageStructAddress(long pfn)
    {
        const ulong Bytes32 = 40;
        const ulong Bytes64 = 64;
        switch (Architecture.Architecture)
        {
            case MemSim.Architecture.X86_64:
                return VmemmapX86 + ((ulong)pfn * Bytes64);
            case MemSim.Architecture.Arm64:
                return VmemmapArm64 + (((ulong)pfn - (_directMapPhysicalBase >> PageGeometry.PageShift)) * Bytes64);
            default:
                ulong map = (DirectMapEnd.Value - ((ulong)FrameCount * Bytes32)) & ~(ulong)(PageGeometry.PageSize - 1);
                return map + ((ulong)pfn * Bytes32);
        }
    }

    /// <summary>Whether a frame that no zone has still has a descriptor: everywhere in a flat memory map, else where its section has memory.</summary>
    internal bool HasFrameInHole(long pfn)
    {
        if (!Architecture.SparseVmemmap)
        {
            return pfn < FrameCount;
        }

        long start = pfn >> SectionOrder << SectionOrder;
        foreach (PresentRange range in _presentRanges)
        {
            if (range.Start < start + (1L << SectionOrder) && range.End > start)
            {
                return true;
            }
        }

        return false;
    }
}
