using MemSim.Lru;

namespace MemSim.Reclaim;

/// <summary>What reclaim remembers of a node.</summary>
internal sealed class NodeReclaimState
{
    public NodeReclaimState(Node node, LruVec lists, Kswapd kswapd)
    {
        Node = node;
        Lists = lists;
        Kswapd = kswapd;
    }

    public Node Node { get; }

    public LruVec Lists { get; }

    public Kswapd Kswapd { get; }

    /// <summary>kswapd found mostly dirty pages at the end of the list: it may write them itself (<c>PGDAT_DIRTY</c>).</summary>
    public bool ManyDirty { get; set; }

    /// <summary>kswapd found only pages under writeback (<c>PGDAT_WRITEBACK</c>).</summary>
    public bool ManyWriteback { get; set; }

    /// <summary>Dirty pages come round again before they are written (<c>LRUVEC_CONGESTED</c>).</summary>
    public bool Congested { get; set; }

    /// <summary><c>workingset_activate_anon</c> when reclaim last ended.</summary>
    public long RefaultsAnon { get; set; }

    /// <summary><c>workingset_activate_file</c> when reclaim last ended.</summary>
    public long RefaultsFile { get; set; }

    /// <summary>Whether node reclaim (<c>zone_reclaim_mode</c>) is at work (<c>PGDAT_RECLAIM_LOCKED</c>).</summary>
    public bool InNodeReclaim { get; set; }

    /// <summary>Remembers how often evicted pages were missed, so that the next run sees whether it happened again (<c>snapshot_refaults()</c>).</summary>
    public void SnapshotRefaults()
    {
        RefaultsAnon = Node.Counters.WorkingsetActivateAnon;
        RefaultsFile = Node.Counters.WorkingsetActivateFile;
    }
}
