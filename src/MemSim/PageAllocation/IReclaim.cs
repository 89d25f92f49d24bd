namespace MemSim;

/// <summary>What the slow path of the page allocator asks for when a zone runs short: the one interface through which the allocator reaches reclaim.</summary>
/// <remarks>Kernel: the calls from <c>mm/page_alloc.c</c> into vmscan, compaction and the OOM killer.</remarks>
public interface IReclaim
{
    /// <summary>Wakes kswapd of the zone's node (<c>wakeup_kswapd()</c>).</summary>
    /// <param name="zone">The zone that runs short.</param>
    /// <param name="request">The request that found it.</param>
    void WakeKswapd(Zone zone, in ReclaimRequest request);

    /// <summary>Reclaims in the context of the caller (<c>try_to_free_pages()</c>).</summary>
    /// <param name="request">The request that cannot be served.</param>
    /// <returns>Pages reclaimed; 0 when nothing could be.</returns>
    long DirectReclaim(in ReclaimRequest request);

    /// <summary>Moves pages to make a block of the requested order (<c>try_to_compact_pages()</c>).</summary>
    /// <param name="request">The request that cannot be served.</param>
    /// <param name="priority">How hard to try.</param>
    /// <returns>What came of it.</returns>
    CompactionOutcome Compact(in ReclaimRequest request, CompactionPriority priority);

    /// <summary>The block that the last compaction on a CPU caught for its request, which has to take it (<c>struct capture_control</c>).</summary>
    /// <param name="cpu">The CPU the request was made on.</param>
    /// <returns>Its first frame; -1 when there is none.</returns>
    int TakeCaptured(Cpu cpu) => -1;

    /// <summary>Is told whether the request that compacted got its block afterwards.</summary>
    /// <param name="cpu">The CPU the request was made on.</param>
    /// <param name="order">Its order.</param>
    /// <param name="pfn">The first frame of its block; -1 when it got none.</param>
    void AfterCompaction(Cpu cpu, int order, int pfn)
    {
    }

    /// <summary>Pages that reclaim could still free in a zone (<c>zone_reclaimable_pages()</c>): decides whether another round is worth it.</summary>
    /// <param name="zone">The zone.</param>
    long ReclaimablePages(Zone zone);

    /// <summary>Runs the OOM killer (<c>out_of_memory()</c>).</summary>
    /// <param name="request">The request that cannot be served.</param>
    /// <returns>Whether a victim was chosen or memory will become free otherwise.</returns>
    bool OutOfMemory(in ReclaimRequest request);

    /// <summary>Reclaims from a node that is short before a farther one is used (<c>node_reclaim()</c>). Only asked while <c>vm.zone_reclaim_mode</c> is set.</summary>
    /// <param name="zone">The zone that failed its watermark.</param>
    /// <param name="request">The request.</param>
    /// <returns>Whether the zone is worth another look.</returns>
    bool ReclaimNode(Zone zone, in ReclaimRequest request) => false;
}

/// <summary>How hard compaction tries (<c>enum compact_priority</c>).</summary>
public enum CompactionPriority
{
    /// <summary>Waits for whatever is in the way.</summary>
    SyncFull = 0,

    /// <summary>Waits for locks but not for I/O.</summary>
    SyncLight = 1,

    /// <summary>Waits for nothing.</summary>
    Async = 2,
}

/// <summary>What a round of compaction came to (<c>enum compact_result</c>).</summary>
public enum CompactionOutcome
{
    /// <summary>Not attempted: the zones are not suitable.</summary>
    Skipped,

    /// <summary>Not attempted: it failed here recently.</summary>
    Deferred,

    /// <summary>Ran over the whole zone without making a block.</summary>
    Complete,

    /// <summary>Ran over a part of the zone without making a block.</summary>
    PartialSkipped,

    /// <summary>Stopped early because of contention.</summary>
    Contended,

    /// <summary>A block of the order should be free now.</summary>
    Success,
}

/// <summary>The request behind a call of <see cref="IReclaim"/>.</summary>
/// <param name="Cpu">The CPU the request was made on.</param>
/// <param name="Gfp">Its flags.</param>
/// <param name="Order">Its order.</param>
/// <param name="HighestZoneIndex">The kernel index of the highest zone it may use.</param>
/// <param name="Zones">The zones it may use, best first.</param>
/// <param name="NodeMask">The nodes a memory policy allows, one bit each.</param>
public readonly record struct ReclaimRequest(Cpu Cpu, Gfp Gfp, int Order, int HighestZoneIndex, IReadOnlyList<Zone> Zones, ulong NodeMask = ulong.MaxValue)
{
    /// <summary>Whether the request may use a zone's node.</summary>
    /// <param name="zone">One of <see cref="Zones"/>.</param>
    public bool Allows(Zone zone)
    {
        ArgumentNullException.ThrowIfNull(zone);
        ulong allowed = NodeMask & Cpu.Current.AllowedNodes;
        return allowed == ulong.MaxValue || (allowed & (1UL << zone.Node.Id)) != 0;
    }
}

/// <summary>An <see cref="IReclaim"/> that reclaims nothing: a machine whose memory belongs to whoever allocated it.</summary>
public sealed class NoReclaim : IReclaim
{
    /// <summary>The one instance; it has no state.</summary>
    public static NoReclaim Instance { get; } = new();

    /// <inheritdoc/>
    public void WakeKswapd(Zone zone, in ReclaimRequest request)
    {
        ArgumentNullException.ThrowIfNull(zone);
        zone.Node.KswapdWakeups++;
    }

    /// <inheritdoc/>
    public long DirectReclaim(in ReclaimRequest request) => 0;

    /// <inheritdoc/>
    public CompactionOutcome Compact(in ReclaimRequest request, CompactionPriority priority) => CompactionOutcome.Skipped;

    /// <inheritdoc/>
    public long ReclaimablePages(Zone zone) => 0;

    /// <inheritdoc/>
    public bool OutOfMemory(in ReclaimRequest request) => false;
}
