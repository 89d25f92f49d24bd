namespace MemSim.Compaction;

/// <summary>What reclaim asks of compaction.</summary>
internal interface ICompactor
{
    /// <summary>Compacts in the context of a request (<c>try_to_compact_pages()</c>).</summary>
    CompactionOutcome TryToCompact(in ReclaimRequest request, CompactionPriority priority);

    /// <summary>Asks a node's kcompactd for a block (<c>wakeup_kcompactd()</c>).</summary>
    void WakeDaemon(Cpu cpu, Node node, int order, int highestZoneIndex);

    /// <summary>Forgets which page blocks were not worth a look (<c>reset_isolation_suitable()</c>): memory may have changed since.</summary>
    void ResetSkipBits(Node node);
}
