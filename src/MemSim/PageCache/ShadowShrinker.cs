using MemSim.Lru;

namespace MemSim.PageCache;

/// <summary>Gives nodes of trees back that hold nothing but shadows of pages long gone: those of the page cache, and of the swap cache where kernels know them (<c>workingset_shadow_shrinker</c>).</summary>
internal sealed class ShadowShrinker(FileCache cache) : Shrinker("mm-shadow", seeks: 0)
{
    /// <summary>Nodes beyond those worth keeping: an eighth as many as pages that could be refaulted (<c>count_shadow_nodes()</c>).</summary>
    protected override long CountObjects(in ShrinkRequest request)
    {
        NodeCounters counters = request.Node.Counters;
        long pages = counters.ActiveFile + counters.InactiveFile + counters.ActiveAnon + counters.InactiveAnon + counters.Unevictable + counters.SlabReclaimable + counters.SlabUnreclaimable;
        return Math.Max(0, Math.Min(counters.WorkingsetNodes, cache.Nodes.ShadowNodes) - (pages >> 3)) + SwapNodes(request);
    }

    protected override long ScanObjects(in ShrinkRequest request)
    {
        using OwnersLock.Scope scope = request.Cpu.Machine.EnterOwners();
        Machine machine = request.Cpu.Machine;
        long ofSwap = Math.Min(SwapNodes(request), request.ToScan);
        int freed = ofSwap == 0 ? 0 : machine.Swap.ReclaimShadowNodes((int)ofSwap);
        return freed + cache.Nodes.ReclaimShadowNodes(request.Cpu, (int)(request.ToScan - ofSwap));
    }

    /// <summary>No cgroup pays for the swap cache's trees, so that only pages of the root's own lists say how many are worth keeping, however many pages of cgroups are out.</summary>
    private static long SwapNodes(in ShrinkRequest request)
    {
        Machine machine = request.Cpu.Machine;
        long nodes = machine.Swap is { WasUsed: true } swap ? swap.ShadowNodes : 0;
        if (nodes == 0)
        {
            return 0;
        }

        LruVec root = machine.Lru.Of(request.Node);
        long pages = 0;
        for (LruList list = LruList.InactiveAnon; list <= LruList.Unevictable; list++)
        {
            pages += root.Size(list, request.Node.Zones.Count - 1);
        }

        return Math.Max(0, nodes - (pages >> 3));
    }
}
