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

    /// <summary>The lists of the root cgroup: all there are, as long as there is no other.</summary>
    public LruVec Lists { get; }

    public Kswapd Kswapd { get; }

    /// <summary>By generations: whose turn it is; null until cgroups take turns.</summary>
    public CgroupRotation? Rotation { get; set; }

    /// <summary>kswapd found mostly dirty pages at the end of the list: it may write them itself (<c>PGDAT_DIRTY</c>).</summary>
    public bool ManyDirty { get; set; }

    /// <summary>kswapd found only pages under writeback (<c>PGDAT_WRITEBACK</c>).</summary>
    public bool ManyWriteback { get; set; }

    /// <summary>Whether node reclaim (<c>zone_reclaim_mode</c>) is at work (<c>PGDAT_RECLAIM_LOCKED</c>).</summary>
    public bool InNodeReclaim { get; set; }
}
