namespace MemSim.Boot;

/// <summary>Fifth phase: in which order nodes and zones are looked at when an allocation starts on a node.</summary>
internal static class ZonelistStage
{
    /// <summary>The nodes with their orders and zonelists.</summary>
    public static List<BootNode> Run(IReadOnlyList<BootNode> nodes, NumaTopology? topology)
    {
        int[] load = new int[nodes.Count];
        List<BootNode> finished = [];
        foreach (BootNode node in nodes)
        {
            List<int> order = OrderFrom(node.Id, nodes, topology, load);
            finished.Add(node with
            {
                NodeOrder = order,
                FallbackZonelist = [.. order.SelectMany(id => ZonesOf(nodes[id]))],
                LocalZonelist = [.. ZonesOf(node)],
            });
        }

        return finished;
    }

    private static IEnumerable<BootZone> ZonesOf(BootNode node) => node.Zones.Where(zone => zone.IsPopulated).Reverse();

    // Nearest first. Among equals: nodes with higher numbers before lower ones, nodes without CPUs before others, nodes that are rarely first in their group before others.
    private static List<int> OrderFrom(int local, IReadOnlyList<BootNode> nodes, NumaTopology? topology, int[] load)
    {
        List<int> order = [local];
        while (true)
        {
            int best = -1;
            (int Distance, int Load) bestValue = (int.MaxValue, int.MaxValue);
            foreach (BootNode node in nodes)
            {
                int distance = Distance(local, node.Id) + (node.Id < local ? 1 : 0) + (node.Cpus.Count > 0 ? 1 : 0);
                if (node.PresentPages > 0 && !order.Contains(node.Id) && (distance, load[node.Id]).CompareTo(bestValue) < 0)
                {
                    best = node.Id;
                    bestValue = (distance, load[node.Id]);
                }
            }

            if (best < 0)
            {
                return order;
            }

            if (Distance(local, best) != Distance(local, order[^1]))
            {
                load[best]++;
            }

            order.Add(best);
        }

        int Distance(int from, int to) => topology?.Distance(from, to) ?? NumaTopology.LocalDistance;
    }
}
