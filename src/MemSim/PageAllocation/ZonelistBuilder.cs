using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>Which zones requests may use, best first, by node and flags (<c>build_all_zonelists()</c>).</summary>
internal static class ZonelistBuilder
{
    /// <summary>Makes the lists of all nodes.</summary>
    public static void Fill(Machine machine)
    {
        foreach (Node node in machine.Nodes)
        {
            node.Zonelists = new Zonelist[16];
            node.ThisNodeZonelists = new Zonelist[16];
            Node[] near = [.. node.FallbackOrder.Select(machine.GetNode)];
            for (int bits = 0; bits < 16; bits++)
            {
                bool illegal = machine.ZoneTable.RefusesIllegalFlags && GfpZones.IsIllegal((Gfp)bits);
                int highest = GfpZones.HighestZoneIndex((Gfp)bits, machine.Architecture);
                node.Zonelists[bits] = MakeZonelist(machine, near, highest, illegal);
                node.ThisNodeZonelists[bits] = MakeZonelist(machine, [node], highest, illegal);
            }
        }
    }

    /// <summary>A zone got its first memory, or lost its last: requests look elsewhere from now on.</summary>
    public static void Rebuild(Machine machine)
    {
        Fill(machine);
        foreach (Cpu cpu in machine.Cpus)
        {
            Take(cpu);
        }
    }

    /// <summary>The CPU's requests use the lists of its node.</summary>
    public static void Take(Cpu cpu)
    {
        cpu.Lists.Zonelists = cpu.Node.Zonelists;
        cpu.Lists.Choices = FirstChoice.For(cpu.Lists.Zonelists, cpu.Lists.Pcp);
        cpu.Lists.HomePcp = cpu.Lists.Choices[0].Pcp ?? cpu.Lists.Pcp[0];
    }

    private static Zonelist MakeZonelist(Machine machine, IEnumerable<Node> nodes, int highest, bool illegal)
    {
        Zone[] zones = illegal ? [] : [.. nodes.SelectMany(n => n.Zones.Reverse()).Where(z => z.Index <= highest && z.ManagedPages != 0 && z.Type != ZoneType.Device)];
        return new Zonelist(zones, highest, illegal, zones.Length != 0 && AvoidsFragmentation(machine, zones[0]));
    }

    /// <summary>6.1 prefers another zone to mixing types only where DMA32 lies below Normal; on several nodes only when the node has it.</summary>
    private static bool AvoidsFragmentation(Machine machine, Zone preferred) =>
        preferred.Type == ZoneType.Normal && machine.Architecture.IndexOf(ZoneType.Dma32) >= 0
        && (machine.Nodes.Count == 1 || preferred.Node.GetZone(ZoneType.Dma32).IsPopulated);
}
