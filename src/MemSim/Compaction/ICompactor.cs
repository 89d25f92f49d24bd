namespace MemSim.Compaction;

/// <summary>What reclaim asks of compaction.</summary>
internal interface ICompactor
{
    /// <summary>Compacts in the context of a request (<c>try_to_compact_pages()</c>).</summary>
    CompactionOutcome TryToCompact(in ReclaimRequest request, CompactionPriority priority);

    /// <summary>The block that the last direct run on a CPU caught for its request, which has to take it.</summary>
    /// <returns>Its first frame; -1 when there is none.</returns>
    int TakeCaptured(Cpu cpu);

    /// <summary>To be told whether the request that compacted got its block afterwards.</summary>
    void AfterDirect(Cpu cpu, int order, int pfn);

    /// <summary>Asks a node's kcompactd for a block (<c>wakeup_kcompactd()</c>).</summary>
    void WakeDaemon(Cpu cpu, Node node, int order, int highestZoneIndex);

    /// <summary>Forgets which page blocks were not worth a look (<c>reset_isolation_suitable()</c>): memory may have changed since.</summary>
    void ResetSkipBits(Node node);
}
