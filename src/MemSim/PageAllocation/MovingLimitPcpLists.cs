using System.Runtime.CompilerServices;
using MemSim.Kernels;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>Per-CPU lists whose limit moves between two bounds (since 6.7): it grows with refills, which double, and falls when the zone runs low.</summary>
/// <remarks>Kernel: <c>nr_pcp_alloc()</c>, <c>nr_pcp_high()</c>, <c>nr_pcp_free()</c>, <c>free_frozen_page_commit()</c>, <c>decay_pcp_high()</c>.</remarks>
internal sealed class MovingLimitPcpLists : PcpLists
{
    private readonly bool _burstBoundHasHighMin;
    private readonly bool _drainsInBatches;
    private readonly bool _highAtomicRefills;
    private readonly int _movableIndex;

    public MovingLimitPcpLists(Machine machine, FrameArray frames, BuddyLists buddy, Fallback fallback, AllocatorRules rules)
        : base(machine, frames, buddy, fallback, rules)
    {
        _burstBoundHasHighMin = rules.BurstBoundHasHighMin;
        _drainsInBatches = rules.DrainsInBatches;
        _highAtomicRefills = rules.HighAtomicRefillsPcp;
        _movableIndex = Math.Max(0, machine.Architecture.IndexOf(ZoneType.Movable));
    }

    /// <summary>The pages of consecutive frees that are counted.</summary>
    public static int MostCounted(PerCpuPages pcp) => pcp.Batch << MaxDoublings;

    [MethodImpl(MethodImplOptions.NoInlining)]
    public override bool Refill(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags)
    {
        int want = WantedBlocks(pcp, order);

        // A high-order atomic request takes what it needs directly, so that nothing of the reserve is lost to the lists.
        bool direct = !_highAtomicRefills && order > 0 && (flags & AllocFlags.HighAtomic) != 0;
        return !direct && Fill(cpu, pcp, order, type, flags, want);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public override void TrimAfterFree(Cpu cpu, PerCpuPages pcp, int order, int listIndex)
    {
        bool burst = order != 0 && CountBlock(pcp, order);
        int limit = Limit(pcp, burst);
        if (pcp.Count < limit)
        {
            return;
        }

        int pages = burst ? Math.Min(pcp.Count, MostCounted(pcp))
            : limit < pcp.Batch ? 1
            : Math.Min(Math.Max(pcp.FreeRun, pcp.Batch), limit - pcp.Batch);
        for (int left = pages; left > 0 && pcp.Count > 0;)
        {
            int portion = _drainsInBatches ? Math.Min(left, pcp.Batch) : left;
            Drain(cpu, pcp, portion, listIndex);
            left -= portion;
        }

        Zone zone = pcp.Zone;
        if ((zone.Flags & ZoneFlags.BelowHigh) != 0
            && WatermarkCheck.PassesFull(zone, 0, zone.MarkHigh + zone.Boost, _movableIndex, 0, zone.FreePagesForChecks))
        {
            zone.Flags &= ~ZoneFlags.BelowHigh;
        }
    }

    /// <summary>Less an eighth, not so far that more than the most ever drained at once lies above, nor below the lower bound.</summary>
    public override int LoweredLimit(PerCpuPages pcp) =>
        pcp.High <= pcp.HighMin ? pcp.High : Math.Max(Math.Max(pcp.Count - MostCounted(pcp), pcp.High - (pcp.High >> 3)), pcp.HighMin);

    /// <summary>How many blocks a refill asks for; the limit grows with it while the zone has enough free pages.</summary>
    private static int WantedBlocks(PerCpuPages pcp, int order)
    {
        int high = pcp.ClampHigh();
        if (high < pcp.Batch)
        {
            return 1;
        }

        int want = order == 0 ? pcp.Batch << pcp.AllocFactor : pcp.Batch;
        if (pcp.HighMin != pcp.HighMax && (pcp.Zone.Flags & ZoneFlags.BelowHigh) == 0)
        {
            high = pcp.High = Math.Min(high + want, pcp.HighMax);
        }

        if (order == 0)
        {
            int most = Math.Max(high - pcp.Count - pcp.Batch, pcp.Batch);
            if (want <= most && pcp.AllocFactor < MaxDoublings)
            {
                pcp.AllocFactor++;
            }

            want = Math.Min(want, most);
        }

        return want > 1 ? Math.Max(want >> order, 2) : 1;
    }

    /// <summary>Counts a freed block of an order above 0.</summary>
    /// <returns>Whether it is one of many small blocks freed in a row: those are given back so that they can merge.</returns>
    private bool CountBlock(PerCpuPages pcp, int order)
    {
        bool burst = false;
        bool small = order <= PageGeometry.CostlyOrder;
        if (small)
        {
            int bound = pcp.Batch + (_burstBoundHasHighMin ? pcp.HighMin / 2 : 0);
            burst = pcp.FreeRun >= bound && pcp.LastFreeWasBlock && (!pcp.CacheIsLarge || pcp.Count >= pcp.Batch);
        }

        pcp.LastFreeWasBlock = small;
        if (pcp.FreeRun < MostCounted(pcp))
        {
            pcp.FreeRun += 1 << order;
        }

        return burst;
    }

    /// <summary>The number of pages from which on a free drains; moves <see cref="PerCpuPages.High"/>.</summary>
    private static int Limit(PerCpuPages pcp, bool burst)
    {
        int high = pcp.ClampHigh();
        if (high == 0)
        {
            return 0;
        }

        if (burst)
        {
            pcp.High = Math.Max(high - MostCounted(pcp), pcp.HighMin);
            return 0;
        }

        int recent = Math.Max(pcp.FreeRun, pcp.Batch);
        if ((pcp.Zone.Flags & ZoneFlags.ReclaimActive) != 0)
        {
            pcp.High = Math.Max(high - recent, pcp.HighMin);
            return Math.Min(pcp.Batch << 2, pcp.High);
        }

        if (pcp.HighMin == pcp.HighMax)
        {
            return high;
        }

        if ((pcp.Zone.Flags & ZoneFlags.BelowHigh) != 0)
        {
            pcp.High = Math.Max(high - recent, pcp.HighMin);
            return Math.Max(pcp.Count, pcp.HighMin);
        }

        // What was freed in a row shall fit, next time.
        int needed = pcp.FreeRun + pcp.Batch;
        if (pcp.Count >= high && high < needed)
        {
            pcp.High = Math.Clamp(needed, pcp.HighMin, pcp.HighMax);
        }

        return high;
    }
}
