using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>One request on its way through the allocator (<c>struct alloc_context</c>).</summary>
internal readonly struct Request
{
    public Request(Cpu cpu, Zonelist zonelist, Gfp gfp, int order, ulong nodeMask = ulong.MaxValue, ulong cpuset = ulong.MaxValue)
    {
        Cpu = cpu;
        Zonelist = zonelist;
        Gfp = gfp;
        Order = order;
        NodeMask = nodeMask;
        Cpuset = cpuset;
    }

    public readonly Cpu Cpu;
    public readonly Zonelist Zonelist;
    public readonly Gfp Gfp;
    public readonly int Order;

    /// <summary>The nodes a memory policy allows, one bit each.</summary>
    public readonly ulong NodeMask;

    /// <summary>The nodes that the task's cpuset allows, one bit each.</summary>
    public readonly ulong Cpuset;

    public int Type => (int)((uint)Gfp >> 3) & 3;

    public bool CanReclaim => (Gfp & Gfp.DirectReclaim) != 0;

    public bool IsCostly => Order > PageGeometry.CostlyOrder;

    /// <summary>The zone the request would like best; null when it may use none.</summary>
    public Zone? Preferred
    {
        get
        {
            foreach (Zone zone in Zonelist.Zones)
            {
                if (Allows(zone))
                {
                    return zone;
                }
            }

            return null;
        }
    }

    public bool Allows(Zone zone) => (NodeMask & Cpuset) == ulong.MaxValue || (NodeMask & Cpuset & (1UL << zone.Node.Id)) != 0;

    public Request Without(Gfp flags) => new(Cpu, Zonelist, Gfp & ~flags, Order, NodeMask, Cpuset);

    /// <summary>What the slow path makes of it: only memory of programs stays inside of their cpuset then (<c>__GFP_HARDWALL</c>), and neither that of who cannot wait nor of the OOM killer's victim (<c>__cpuset_zone_allowed()</c>).</summary>
    public Request InSlowPath() => Cpuset == ulong.MaxValue || ((Gfp & Gfp.HardWall) != 0 && CanReclaim && (Cpu.Current.Flags & TaskFlags.OomVictim) == 0)
        ? this
        : new Request(Cpu, Zonelist, Gfp, Order, NodeMask);

    public ReclaimRequest ToReclaim() => new(Cpu, Gfp, Order, Zonelist.HighestZoneIndex, Zonelist.Zones, NodeMask);
}
