using MemSim.Observability.Proc;
using MemSim.Zones;

namespace MemSim;

/// <content>What the views of the machine need and nothing else does.</content>
public sealed partial class Machine
{
    /// <summary>log2 of the pages in a section of the sparse memory model (128 MiB).</summary>
    private const int SectionOrder = 15;

    /// <summary>Figures that the kernel prints and that no subsystem of the machine has yet.</summary>
    internal SystemFigures SystemFigures { get; } = new();

    /// <summary>Counters of events.</summary>
    internal VmEvents Events { get; } = new();

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
