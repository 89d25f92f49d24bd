using MemSim.Lru;

namespace MemSim.PageCache;

/// <summary>Gives nodes of page cache trees back that hold nothing but shadows of pages long gone (<c>workingset_shadow_shrinker</c>).</summary>
internal sealed class ShadowShrinker(FileCache cache) : Shrinker("mm-shadow", seeks: 0)
{
    /// <summary>Nodes beyond those worth keeping: an eighth as many as pages that could be refaulted (<c>count_shadow_nodes()</c>).</summary>
    protected override long CountObjects(in ShrinkRequest request)
    {
        NodeCounters counters = request.Node.Counters;
        long pages = counters.ActiveFile + counters.InactiveFile + counters.ActiveAnon + counters.InactiveAnon + counters.Unevictable + counters.SlabReclaimable + counters.SlabUnreclaimable;
        return Math.Max(0, Math.Min(counters.WorkingsetNodes, cache.Nodes.ShadowNodes) - (pages >> 3));
    }

    protected override long ScanObjects(in ShrinkRequest request)
    {
        using OwnersLock.Scope scope = request.Cpu.Machine.EnterOwners();
        return cache.Nodes.ReclaimShadowNodes(request.Cpu, (int)request.ToScan);
    }
}
