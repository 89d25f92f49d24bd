using System.Runtime.CompilerServices;
using MemSim.Kernels;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>Per-CPU lists with a fixed limit (6.1): a refill is a batch, a drain doubles with each one that no allocation interrupts.</summary>
internal sealed class FixedLimitPcpLists(Machine machine, FrameArray frames, BuddyLists buddy, Fallback fallback, AllocatorRules rules)
    : PcpLists(machine, frames, buddy, fallback, rules)
{
    [MethodImpl(MethodImplOptions.NoInlining)]
    public override bool Refill(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags) =>
        Fill(cpu, pcp, order, type, flags, pcp.Batch > 1 ? Math.Max(pcp.Batch >> order, 2) : 1);

    [MethodImpl(MethodImplOptions.NoInlining)]
    public override void TrimAfterFree(Cpu cpu, PerCpuPages pcp, int order, int listIndex)
    {
        // Freeing small blocks again and again means that they are not reused here: let them merge.
        bool all = pcp.FreeRun != 0 && order is > 0 and <= PageGeometry.CostlyOrder;
        int high = all ? 0 : pcp.HighInForce;
        if (pcp.Count >= high)
        {
            Drain(cpu, pcp, all ? pcp.Count : DrainCount(pcp, high), listIndex);
        }
    }

    /// <summary>How many pages a drain gives back: the batch, doubled by each drain without an allocation in between.</summary>
    private static int DrainCount(PerCpuPages pcp, int high)
    {
        if (high < pcp.Batch)
        {
            return 1;
        }

        int most = high - pcp.Batch;
        int scaled = pcp.Batch << pcp.FreeRun;
        if (scaled < most && pcp.FreeRun < MaxDoublings)
        {
            pcp.FreeRun++;
        }

        return Math.Min(Math.Max(scaled, pcp.Batch), most);
    }
}
