using System.Globalization;

namespace MemSim;

/// <content>Reclaim.</content>
public sealed partial class FtraceTextSink : IReclaimTraceSink
{
    private static readonly string[] LruNames = ["inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"];

    private static readonly string[] ThrottleNames =
        ["VMSCAN_THROTTLE_WRITEBACK", "VMSCAN_THROTTLE_ISOLATED", "VMSCAN_THROTTLE_NOPROGRESS", "VMSCAN_THROTTLE_CONGESTED"];

    /// <inheritdoc/>
    public void WakeupKswapd(Cpu cpu, int node, int highestZoneIndex, int order, Gfp gfp) =>
        WriteEvent(cpu, "mm_vmscan_wakeup_kswapd", 0, Vmscan($"nid={node} order={order} gfp_flags={GfpText.Format(gfp, _machine.Personality)}"));

    /// <inheritdoc/>
    public void KswapdWake(Cpu cpu, int node, int highestZoneIndex, int order) => WriteEvent(cpu, "mm_vmscan_kswapd_wake", 0, Vmscan($"nid={node} order={order}"));

    /// <inheritdoc/>
    public void KswapdSleep(Cpu cpu, int node) => WriteEvent(cpu, "mm_vmscan_kswapd_sleep", 0, Vmscan($"nid={node}"));

    /// <inheritdoc/>
    public void DirectReclaimBegin(Cpu cpu, int order, Gfp gfp) => WriteEvent(cpu, "mm_vmscan_direct_reclaim_begin", 0, Vmscan($"order={order} gfp_flags={GfpText.Format(gfp, _machine.Personality)}"));

    /// <inheritdoc/>
    public void DirectReclaimEnd(Cpu cpu, long reclaimedPages) => WriteEvent(cpu, "mm_vmscan_direct_reclaim_end", 0, Vmscan($"nr_reclaimed={reclaimedPages}"));

    /// <inheritdoc/>
    public void LruIsolate(Cpu cpu, in LruIsolateEvent e) =>
        WriteEvent(cpu, "mm_vmscan_lru_isolate", 1, Vmscan(
            $"isolate_mode={(e.UnmappedOnly ? 2 : 0)} classzone={e.HighestZoneIndex} order={e.Order} nr_requested={e.Requested} nr_scanned={e.Scanned} nr_skipped={e.Skipped} nr_taken={e.Taken} lru={LruNames[e.List]}"));

    /// <inheritdoc/>
    public void LruShrinkInactive(Cpu cpu, in LruShrinkInactiveEvent e) =>
        WriteEvent(cpu, "mm_vmscan_lru_shrink_inactive", 0, Vmscan(
            $"nid={e.Node} nr_scanned={e.Scanned} nr_reclaimed={e.Reclaimed} nr_dirty={e.Dirty} nr_writeback={e.Writeback} nr_congested={e.Congested} nr_immediate={e.Immediate} nr_activate_anon={e.ActivatedAnon} nr_activate_file={e.ActivatedFile} nr_ref_keep={e.ReferencedKept} nr_unmap_fail={e.UnmapFailed} priority={e.Priority} flags={Kind(e.IsFile)}"));

    /// <inheritdoc/>
    public void LruShrinkActive(Cpu cpu, in LruShrinkActiveEvent e) =>
        WriteEvent(cpu, "mm_vmscan_lru_shrink_active", 0, Vmscan(
            $"nid={e.Node} nr_taken={e.Taken} nr_active={e.Active} nr_deactivated={e.Deactivated} nr_referenced={e.Referenced} priority={e.Priority} flags={Kind(e.IsFile)}"));

    /// <inheritdoc/>
    public void WriteFolio(Cpu cpu, long pfn, bool isFile) => Write(cpu, "mm_vmscan_write_folio", pfn, 0, $" flags={Kind(isFile)}");

    /// <inheritdoc/>
    public void Throttled(Cpu cpu, int node, ReclaimThrottleReason reason) =>
        WriteEvent(cpu, "mm_vmscan_throttled", 0, Vmscan($"nid={node} usec_timeout=4000 usect_delayed=4000 reason={ThrottleNames[(int)reason]}"));

    /// <inheritdoc/>
    public void ShrinkSlabStart(Cpu cpu, in ShrinkSlabStartEvent e) =>
        WriteEvent(cpu, "mm_shrink_slab_start", 0, Vmscan(
            $"{e.Shrinker.Name}: nid: {e.Node} objects to shrink {e.Deferred} gfp_flags {GfpText.Format(e.Gfp, _machine.Personality)} cache items {e.Freeable} delta {e.Delta} total_scan {e.TotalScan} priority {e.Priority}"));

    /// <inheritdoc/>
    public void ShrinkSlabEnd(Cpu cpu, in ShrinkSlabEndEvent e) =>
        WriteEvent(cpu, "mm_shrink_slab_end", 0, Vmscan(
            $"{e.Shrinker.Name}: nid: {e.Node} unused scan count {e.UnusedScan} new scan count {e.NewScan} total_scan {e.TotalScan} last shrinker return val {e.Freed}"));

    private static string Kind(bool isFile) => isFile ? "RECLAIM_WB_FILE|RECLAIM_WB_ASYNC" : "RECLAIM_WB_ANON|RECLAIM_WB_ASYNC";

    private static string Vmscan(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
