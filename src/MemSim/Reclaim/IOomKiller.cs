namespace MemSim.Reclaim;

/// <summary>The last resort when nothing can be reclaimed.</summary>
internal interface IOomKiller
{
    /// <summary>Chooses and kills a process (<c>out_of_memory()</c>).</summary>
    /// <returns>Whether memory will become free, so that the request should be tried again.</returns>
    bool OutOfMemory(in ReclaimRequest request);
}
