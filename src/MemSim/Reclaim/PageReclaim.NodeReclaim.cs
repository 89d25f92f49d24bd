using MemSim.Statistics;

namespace MemSim.Reclaim;

/// <content>Reclaim of one node before another one is used (<c>zone_reclaim_mode</c>).</content>
internal sealed partial class PageReclaim
{
    private const int NodeReclaimPriority = 4;
    private const int WriteMode = 2;
    private const int UnmapMode = 4;

    /// <summary>Nodes farther away than this are not worth reclaiming at home for (<c>node_reclaim_distance</c>).</summary>
    private const int ReclaimDistance = 30;

    /// <inheritdoc/>
    public bool ReclaimNode(Zone zone, in ReclaimRequest request)
    {
        Cpu cpu = request.Cpu;
        Node node = zone.Node;
        Node local = request.Zones[0].Node;
        if (node.Id < local.Distances.Count && local.Distances[node.Id] > ReclaimDistance)
        {
            return false;
        }

        int mode = _machine.Settings.Sysctls.ZoneReclaimMode;
        if (!HasUnneededPages(node, mode) || (request.Gfp & Gfp.DirectReclaim) == 0 || (cpu.Current.Flags & TaskFlags.MemAlloc) != 0)
        {
            return false;
        }

        NodeReclaimState state = StateOf(node);
        if ((node.Cpus.Count != 0 && cpu.Node != node) || state.InNodeReclaim)
        {
            return false;
        }

        bool enough = Reclaim(request, state, mode);
        Count(VmEvent.ZoneReclaimFailed, enough ? 0 : 1);
        return enough;
    }

    private bool Reclaim(in ReclaimRequest request, NodeReclaimState state, int mode)
    {
        long pages = 1L << request.Order;
        ScanControl sc = Rent();
        state.InNodeReclaim = true;
        try
        {
            using (request.Cpu.Context.MemAlloc())
            {
                sc.Start(request.Gfp, request.Order, request.HighestZoneIndex, Math.Max(pages, ScanControl.ClusterPages), isKswapd: false);
                sc.Priority = NodeReclaimPriority;
                sc.MayWrite = (mode & WriteMode) != 0;
                sc.MayUnmap = (mode & UnmapMode) != 0;
                do
                {
                    ShrinkNode(request.Cpu, state, sc);
                }
                while (sc.Reclaimed < pages && --sc.Priority >= 0);

                return sc.Reclaimed >= pages;
            }
        }
        finally
        {
            state.InNodeReclaim = false;
            Return(sc);
        }
    }

    /// <summary>Whether the node holds more unmapped cache or reclaimable slabs than it is allowed to keep (<c>node_pagecache_reclaimable()</c>).</summary>
    private bool HasUnneededPages(Node node, int mode)
    {
        NodeCounters counters = node.Counters;
        long managed = 0;
        for (int i = 0; i < node.Zones.Count; i++)
        {
            managed += node.Zones[i].ManagedPages;
        }

        long cache = (mode & UnmapMode) != 0 ? counters.FilePages : Math.Max(0, counters.ActiveFile + counters.InactiveFile - counters.Mapped);
        cache -= (mode & WriteMode) != 0 ? 0 : Math.Min(cache, counters.Dirty);
        VmSysctls sysctls = _machine.Settings.Sysctls;
        return cache > managed * sysctls.MinUnmappedRatio / 100 || counters.SlabReclaimable > managed * sysctls.MinSlabRatio / 100;
    }
}
