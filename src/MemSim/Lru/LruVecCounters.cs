namespace MemSim.Lru;

/// <summary>What a cgroup's share of a node counts of evicted pages (<c>workingset_*</c> of <c>memory.stat</c>), in pages.</summary>
internal sealed class LruVecCounters
{
    public long RefaultAnon { get; set; }

    public long RefaultFile { get; set; }

    public long ActivateAnon { get; set; }

    public long ActivateFile { get; set; }

    public long RestoreAnon { get; set; }

    public long RestoreFile { get; set; }

    /// <summary>Adds what another counted.</summary>
    public void Add(LruVecCounters other)
    {
        RefaultAnon += other.RefaultAnon;
        RefaultFile += other.RefaultFile;
        ActivateAnon += other.ActivateAnon;
        ActivateFile += other.ActivateFile;
        RestoreAnon += other.RestoreAnon;
        RestoreFile += other.RestoreFile;
    }
}
