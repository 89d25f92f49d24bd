namespace MemSim.Cgroups;

/// <summary>How a cgroup at its limit asks for memory: the only way up to reclaim and the OOM killer.</summary>
internal interface ICgroupReclaim
{
    /// <summary>Reclaims from a cgroup and those below it (<c>try_to_free_mem_cgroup_pages()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="cgroup">The top of the tree.</param>
    /// <param name="pages">Pages wanted; at least 32 are tried for.</param>
    /// <param name="gfp">What the request may do.</param>
    /// <param name="swappiness">The swappiness to go by; null for the machine's.</param>
    /// <param name="proactive">Whether user space asked for it.</param>
    /// <returns>Pages reclaimed.</returns>
    long Reclaim(Cpu cpu, Cgroup cgroup, long pages, Gfp gfp, int? swappiness = null, bool proactive = false);

    /// <summary>Kills somebody in a cgroup or below it (<c>mem_cgroup_out_of_memory()</c>).</summary>
    /// <returns>Whether memory will become free.</returns>
    bool OutOfMemory(Cpu cpu, Cgroup cgroup, Gfp gfp, int order);

    /// <summary>Does what CPUs have put off with pages, so that reclaim finds them (<c>lru_add_drain_all()</c>).</summary>
    void DrainLists(Cpu cpu);
}
