namespace MemSim.Reclaim;

/// <summary>The last resort when nothing can be reclaimed.</summary>
internal interface IOomKiller
{
    /// <summary>Chooses and kills a process (<c>out_of_memory()</c>).</summary>
    /// <returns>Whether memory will become free, so that the request should be tried again.</returns>
    bool OutOfMemory(in ReclaimRequest request);

    /// <summary>Chooses and kills a process of a cgroup or one below it (<c>mem_cgroup_out_of_memory()</c>).</summary>
    /// <returns>Whether memory will become free there.</returns>
    bool OutOfMemory(Cpu cpu, Cgroup cgroup, Gfp gfp, int order);
}
