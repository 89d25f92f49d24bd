namespace MemSim;

/// <summary>Receives the tracepoints of reclaim (<c>vmscan:*</c>) with the fields of Linux 6.1.</summary>
/// <remarks>Called on the thread that drives the CPU; must not call back into the machine. A sink implements those it cares for.</remarks>
public interface IReclaimTraceSink : ITraceSink
{
    /// <summary><c>mm_vmscan_wakeup_kswapd</c>: an allocation wakes a kswapd that sleeps.</summary>
    void WakeupKswapd(Cpu cpu, int node, int highestZoneIndex, int order, Gfp gfp)
    {
    }

    /// <summary><c>mm_vmscan_kswapd_wake</c>: kswapd begins to balance its node.</summary>
    void KswapdWake(Cpu cpu, int node, int highestZoneIndex, int order)
    {
    }

    /// <summary><c>mm_vmscan_kswapd_sleep</c>: kswapd goes to sleep until it is woken.</summary>
    void KswapdSleep(Cpu cpu, int node)
    {
    }

    /// <summary><c>mm_vmscan_direct_reclaim_begin</c>: a request reclaims for itself.</summary>
    void DirectReclaimBegin(Cpu cpu, int order, Gfp gfp)
    {
    }

    /// <summary><c>mm_vmscan_direct_reclaim_end</c>: with the pages it got.</summary>
    void DirectReclaimEnd(Cpu cpu, long reclaimedPages)
    {
    }

    /// <summary><c>mm_vmscan_lru_isolate</c>: pages were taken off a list to be looked at.</summary>
    void LruIsolate(Cpu cpu, in LruIsolateEvent e)
    {
    }

    /// <summary><c>mm_vmscan_lru_shrink_inactive</c>: pages of an inactive list were looked at.</summary>
    void LruShrinkInactive(Cpu cpu, in LruShrinkInactiveEvent e)
    {
    }

    /// <summary><c>mm_vmscan_lru_shrink_active</c>: pages of an active list were looked at.</summary>
    void LruShrinkActive(Cpu cpu, in LruShrinkActiveEvent e)
    {
    }

    /// <summary><c>mm_vmscan_write_folio</c>: reclaim writes a page.</summary>
    void WriteFolio(Cpu cpu, long pfn, bool isFile)
    {
    }

    /// <summary><c>mm_vmscan_throttled</c>: a task that reclaims has to wait.</summary>
    void Throttled(Cpu cpu, int node, ReclaimThrottleReason reason)
    {
    }

    /// <summary><c>mm_shrink_slab_start</c>: a shrinker is asked to free objects.</summary>
    void ShrinkSlabStart(Cpu cpu, in ShrinkSlabStartEvent e)
    {
    }

    /// <summary><c>mm_shrink_slab_end</c>: with what came of it.</summary>
    void ShrinkSlabEnd(Cpu cpu, in ShrinkSlabEndEvent e)
    {
    }
}

/// <summary>The fields of <c>mm_vmscan_lru_isolate</c>.</summary>
/// <param name="HighestZoneIndex">Pages of higher zones are skipped.</param>
/// <param name="Order">The order reclaimed for.</param>
/// <param name="Requested">Pages asked for.</param>
/// <param name="Scanned">Pages looked at.</param>
/// <param name="Skipped">Pages of too high zones.</param>
/// <param name="Taken">Pages taken.</param>
/// <param name="UnmappedOnly">Whether mapped pages are left alone.</param>
/// <param name="List">The list: 0 inactive anon, 1 active anon, 2 inactive file, 3 active file.</param>
public readonly record struct LruIsolateEvent(int HighestZoneIndex, int Order, long Requested, long Scanned, long Skipped, long Taken, bool UnmappedOnly, int List);

/// <summary>The fields of <c>mm_vmscan_lru_shrink_inactive</c>, in pages.</summary>
/// <param name="Node">The node.</param>
/// <param name="Scanned">Looked at.</param>
/// <param name="Reclaimed">Freed.</param>
/// <param name="Dirty">Dirty.</param>
/// <param name="Writeback">Being written.</param>
/// <param name="Congested">Came round before they were written.</param>
/// <param name="Immediate">Being written, marked for reclaim already.</param>
/// <param name="ActivatedAnon">Anonymous pages made active.</param>
/// <param name="ActivatedFile">File pages made active.</param>
/// <param name="ReferencedKept">Kept because they were used.</param>
/// <param name="UnmapFailed">Could not be unmapped.</param>
/// <param name="Priority">The priority.</param>
/// <param name="IsFile">Whether the list is of file pages.</param>
public readonly record struct LruShrinkInactiveEvent(
    int Node, long Scanned, long Reclaimed, long Dirty, long Writeback, long Congested, long Immediate, long ActivatedAnon, long ActivatedFile, long ReferencedKept, long UnmapFailed, int Priority, bool IsFile);

/// <summary>The fields of <c>mm_vmscan_lru_shrink_active</c>, in pages.</summary>
/// <param name="Node">The node.</param>
/// <param name="Taken">Taken off the list.</param>
/// <param name="Active">Put back on it.</param>
/// <param name="Deactivated">Put on the inactive list.</param>
/// <param name="Referenced">Kept because they were used.</param>
/// <param name="Priority">The priority.</param>
/// <param name="IsFile">Whether the list is of file pages.</param>
public readonly record struct LruShrinkActiveEvent(int Node, long Taken, long Active, long Deactivated, long Referenced, int Priority, bool IsFile);
