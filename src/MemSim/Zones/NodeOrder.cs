namespace MemSim.Zones;

/// <summary>The order in which a node's requests fall back to other nodes: by distance, and of equally distant ones first those that fewer nodes prefer already.</summary>
/// <remarks>Kernel: <c>find_next_best_node()</c>. Nodes are asked in ascending order once, at boot, since each answer counts against the nodes it names first.</remarks>
internal sealed class NodeOrder
{
    /// <summary>Distance counts before any other preference.</summary>
    private const int DistanceWeight = 1 << 20;

    private readonly IReadOnlyList<Node> _nodes;
    private readonly int[] _load;

    public NodeOrder(IReadOnlyList<Node> nodes)
    {
        _nodes = nodes;
        _load = new int[nodes.Max(n => n.Id) + 1];
    }

    /// <summary>The nodes from nearest to farthest.</summary>
    public IReadOnlyList<Node> From(Node local)
    {
        List<Node> order = [];
        Node previous = local;
        int remaining = _nodes.Count;
        while (Best(local, order) is { } best)
        {
            // A node that comes first among equally distant ones gets more of the load, so that the next node's list starts with another.
            if (local.Distances[best.Id] != local.Distances[previous.Id])
            {
                _load[best.Id] += remaining;
            }

            order.Add(best);
            previous = best;
            remaining--;
        }

        return order;
    }

    private Node? Best(Node local, List<Node> used)
    {
        if (used.Count == 0 && local.PresentPages != 0)
        {
            return local;
        }

        Node? best = null;
        long bestValue = long.MaxValue;
        foreach (Node node in _nodes)
        {
            if (used.Contains(node) || node.PresentPages == 0)
            {
                continue;
            }

            long value = local.Distances[node.Id] + (node.Id < local.Id ? 1 : 0) + (node.Cpus.Count != 0 ? 1 : 0);
            value = (value * DistanceWeight) + _load[node.Id];
            if (value < bestValue)
            {
                bestValue = value;
                best = node;
            }
        }

        return best;
    }
}
