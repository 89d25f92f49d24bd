using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim.Reclaim;

/// <content>Reclaim in the context of a request.</content>
internal sealed partial class PageReclaim
{
    /// <summary>Who is held back until kswapd has refilled the reserve gives up waiting after a second, which without time to share is no time at all.</summary>
    private const long ReserveWaitNanoseconds = 1_000_000_000;

    /// <inheritdoc/>
    public long DirectReclaim(in ReclaimRequest request)
    {
        Cpu cpu = request.Cpu;
        cpu.Context.MightSleep("try_to_free_pages");
        cpu.Current.NoteRan();
        using (cpu.Context.MemAlloc())
        {
            ThrottleDirectReclaim(request);
            _machine.Reclaim.Trace?.DirectReclaimBegin(cpu, request.Order, request.Gfp);
            ScanControl sc = Rent();
            long before = _machine.Clock.Nanoseconds;
            try
            {
                sc.Start(request.Gfp, request.Order, request.HighestZoneIndex, ScanControl.ClusterPages, isKswapd: false);
                long reclaimed = FreePages(request, sc);
                _machine.Reclaim.Trace?.DirectReclaimEnd(cpu, reclaimed);
                return reclaimed;
            }
            finally
            {
                _machine.Pressure.Stall(Costs.RoundNanoseconds, full: _machine.Cpus.Count == 1);
                DirectStallNanoseconds += _machine.Clock.Nanoseconds - before;
                NoteCgroupStall(cpu, _machine.Clock.Nanoseconds - before);
                Return(sc);
            }
        }
    }

    /// <summary>Simulated time that requests spent reclaiming for themselves.</summary>
    public long DirectStallNanoseconds { get; private set; }

    /// <summary>From priority 12 to 0 until enough is reclaimed (<c>do_try_to_free_pages()</c>).</summary>
    private long FreePages(in ReclaimRequest request, ScanControl sc)
    {
        while (true)
        {
            _machine.Events.CountAllocStall(_machine.Architecture.ZoneTypes[request.HighestZoneIndex]);
            do
            {
                NoteDepth(sc);
                sc.Scanned = 0;
                ShrinkZones(request, sc);
                if (sc.Reclaimed >= sc.ToReclaim || sc.CompactionReady)
                {
                    break;
                }

                sc.MayWrite |= sc.Priority < ScanControl.DefaultPriority - 2;
            }
            while (--sc.Priority >= 0);

            SnapshotRefaults(request);
            if (sc.Reclaimed != 0)
            {
                return sc.Reclaimed;
            }

            if (sc.CompactionReady)
            {
                return 1;
            }

            // Active pages, and those that memory.low protects, were spared so far: now they are not.
            if (!TryHarder(sc))
            {
                return 0;
            }
        }
    }

    private void ShrinkZones(in ReclaimRequest request, ScanControl sc)
    {
        Node? first = null;
        Node? last = null;
        for (int i = 0; i < request.Zones.Count; i++)
        {
            Zone zone = request.Zones[i];
            if (!request.Allows(zone))
            {
                continue;
            }

            // Costly orders are for compaction once it has room to work.
            if (sc.Order > PageGeometry.CostlyOrder && Compactor is not null && IsReadyForCompaction(zone, sc))
            {
                sc.CompactionReady = true;
                continue;
            }

            if (zone.Node == last)
            {
                continue;
            }

            first ??= zone.Node;
            last = zone.Node;
            ShrinkNode(request.Cpu, StateOf(zone.Node), sc);
        }

        if (first is not null)
        {
            ThrottleWithoutProgress(request.Cpu, first, sc);
        }
    }

    /// <summary>Gives others a chance when nearly nothing of what was scanned could be taken (<c>consider_reclaim_throttle()</c>).</summary>
    private void ThrottleWithoutProgress(Cpu cpu, Node node, ScanControl sc)
    {
        // More than an eighth: reclaim works.
        if (sc.Reclaimed > sc.Scanned >> 3 || sc.IsKswapd)
        {
            return;
        }

        if (sc.Priority == 1 && sc.Reclaimed == 0)
        {
            Throttle(cpu, node, ReclaimThrottleReason.NoProgress);
        }
    }

    private void SnapshotRefaults(in ReclaimRequest request)
    {
        Node? last = null;
        for (int i = 0; i < request.Zones.Count; i++)
        {
            if (request.Zones[i].Node != last)
            {
                last = request.Zones[i].Node;
                StateOf(last).Lists.SnapshotRefaults();
            }
        }
    }

    /// <summary>Holds a request back while less than half of the min watermarks is free: kswapd must be able to work (<c>throttle_direct_reclaim()</c>).</summary>
    private void ThrottleDirectReclaim(in ReclaimRequest request)
    {
        int normal = _machine.Architecture.IndexOf(ZoneType.Normal);
        for (int i = 0; i < request.Zones.Count; i++)
        {
            Zone zone = request.Zones[i];
            if (zone.Index <= normal && request.Allows(zone))
            {
                Node node = zone.Node;
                if (AllowsDirectReclaim(node))
                {
                    return;
                }

                _machine.Events.Count(VmEvent.ScanDirectThrottle);
                StateOf(node).Kswapd.WakeForReserve(request.Cpu, normal);
                _machine.Background.SharedTime?.Sleep(request.Cpu, ReserveWaitNanoseconds, () => AllowsDirectReclaim(node));
                return;
            }
        }
    }

    /// <summary>Whether enough of the reserve is left that everybody may reclaim (<c>allow_direct_reclaim()</c>).</summary>
    internal bool AllowsDirectReclaim(Node node)
    {
        if (node.Counters.KswapdFailures >= MaxFailures)
        {
            return true;
        }

        long reserve = 0;
        long free = 0;
        int normal = _machine.Architecture.IndexOf(ZoneType.Normal);
        for (int i = 0; i <= normal && i < node.Zones.Count; i++)
        {
            Zone zone = node.Zones[i];
            if (zone.ManagedPages != 0 && ReclaimablePages(zone) != 0)
            {
                reserve += zone.GetWatermarkPages(Watermark.Min);
                free += zone.FreePagesForChecks;
            }
        }

        return reserve == 0 || free > reserve / 2;
    }

    /// <summary>Whether compaction has room enough in a zone that reclaim should leave it the rest (<c>compaction_ready()</c>).</summary>
    private static bool IsReadyForCompaction(Zone zone, ScanControl sc)
    {
        long mark = zone.GetWatermarkPages(Watermark.Low);
        if (WatermarkCheck.PassesFull(zone, sc.Order, mark, sc.ReclaimIndex, AllocFlags.WatermarkMin, zone.FreePagesForChecks))
        {
            return true;
        }

        long gap = CompactGap(sc.Order);
        return WatermarkCheck.PassesFull(zone, 0, mark + gap, sc.ReclaimIndex, AllocFlags.Cma, zone.FreePagesForChecks)
            && WatermarkCheck.PassesFull(zone, 0, zone.GetWatermarkPages(Watermark.High) + gap, sc.ReclaimIndex, AllocFlags.WatermarkMin, zone.TrueFreePages);
    }

    /// <summary>Free pages that compaction needs for an order: as many again as it moves (<c>compact_gap()</c>).</summary>
    internal static long CompactGap(int order) => 2L << order;
}
