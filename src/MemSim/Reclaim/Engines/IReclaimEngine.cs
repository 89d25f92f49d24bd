using MemSim.Lru;

namespace MemSim.Reclaim;

/// <summary>One way to find out which pages of some lists go: by active and inactive lists, or by generations. The rest of reclaim (who runs when, what is done to a page that goes) is the same for both.</summary>
internal interface IReclaimEngine
{
    /// <summary>Whether what a pass found has consequences: who writes, who waits, and another pass until compaction has room for a large block.</summary>
    bool JudgesPasses { get; }

    /// <summary>kswapd is about to scan a node: its anonymous pages may have to age first (<c>kswapd_age_node()</c>).</summary>
    void BeginAging(Cpu cpu, NodeReclaimState state, ScanControl sc);

    /// <summary>Begins a scan of some lists: how much of what.</summary>
    void Begin(NodeReclaimState state, LruVec vec, ScanControl sc);

    /// <summary>Scans a portion. No page is in hand between two turns.</summary>
    /// <returns>Whether there is more to scan.</returns>
    bool Turn(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc);

    /// <summary>Whether a pass ends before it has come to all cgroups.</summary>
    bool HasEnough(NodeReclaimState state, ScanControl sc);

    /// <summary>Ends the scan of these lists.</summary>
    void End(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc);
}
