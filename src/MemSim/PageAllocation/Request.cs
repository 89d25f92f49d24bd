using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>One request on its way through the allocator (<c>struct alloc_context</c>).</summary>
internal readonly struct Request
{
    public Request(Cpu cpu, Zonelist zonelist, Gfp gfp, int order, ulong nodeMask = ulong.MaxValue)
    {
        Cpu = cpu;
        Zonelist = zonelist;
        Gfp = gfp;
        Order = order;
        NodeMask = nodeMask;
    }

    public readonly Cpu Cpu;
    public readonly Zonelist Zonelist;
    public readonly Gfp Gfp;
    public readonly int Order;

    /// <summary>The nodes a memory policy allows, one bit each.</summary>
    public readonly ulong NodeMask;

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

    public bool Allows(Zone zone) => NodeMask == ulong.MaxValue || (NodeMask >> zone.Node.Id & 1) != 0;

    public Request Without(Gfp flags) => new(Cpu, Zonelist, Gfp & ~flags, Order, NodeMask);

    public ReclaimRequest ToReclaim() => new(Cpu, Gfp, Order, Zonelist.HighestZoneIndex, Zonelist.Zones, NodeMask);
}
