using System.Globalization;
using System.Numerics;
using System.Text;

namespace MemSim;

/// <summary>Nodes by the speed of their memory (<c>/sys/devices/virtual/memory_tiering</c>): where reclaim moves pages down to, and balancing up.</summary>
/// <remarks>
/// All nodes begin in the tier of ordinary memory, with or without CPUs. Slow memory is told by <see cref="Place"/>, as the driver of a memory device tells the kernel
/// (<c>mt_set_default_dram_perf()</c>, <c>dax/kmem</c>). Linux 6.1 and later.
/// </remarks>
public sealed class MemoryTiers
{
    /// <summary>The abstract distance of ordinary memory (<c>MEMTIER_ADISTANCE_DRAM</c>).</summary>
    public const int OrdinaryDistance = 4 * ChunkSize + (ChunkSize >> 1);

    /// <summary>The abstract distance of memory of a device of which nothing else is known (<c>MEMTIER_DEFAULT_DAX_ADISTANCE</c>).</summary>
    public const int DeviceDistance = OrdinaryDistance * 5;

    private const int ChunkShift = 7;
    private const int ChunkSize = 1 << ChunkShift;

    private readonly Machine _machine;
    private readonly int[] _distances;
    private readonly ulong[] _targets;
    private bool _demotes;

    internal MemoryTiers(Machine machine)
    {
        _machine = machine;
        _targets = new ulong[machine.Nodes.Max(node => node.Id) + 1];
        _distances = new int[_targets.Length];
        Array.Fill(_distances, OrdinaryDistance);
    }

    /// <summary>Whether reclaim moves pages to slower nodes before it swaps or drops them (<c>/sys/kernel/mm/numa/demotion_enabled</c>); off after the boot.</summary>
    public bool DemotionEnabled
    {
        get => _demotes;
        set => _demotes = value;
    }

    /// <summary>Says how slow a node's memory is; nodes of one tier are alike.</summary>
    /// <param name="node">The node.</param>
    /// <param name="abstractDistance">Larger for slower memory: <see cref="OrdinaryDistance"/>, <see cref="DeviceDistance"/>; 128 make a tier.</param>
    /// <exception cref="ArgumentOutOfRangeException">The distance is negative.</exception>
    public void Place(Node node, int abstractDistance)
    {
        ArgumentNullException.ThrowIfNull(node);
        ArgumentOutOfRangeException.ThrowIfNegative(abstractDistance);
        _machine.ThrowIfDisposed();
        _distances[Own(node)] = abstractDistance;
        FindTargets();
    }

    /// <summary>The number of a node's tier (<c>memory_tierN</c>): 4 for ordinary memory.</summary>
    /// <param name="node">The node.</param>
    public int TierOf(Node node)
    {
        ArgumentNullException.ThrowIfNull(node);
        return _distances[Own(node)] >> ChunkShift;
    }

    /// <summary>Whether no tier with CPUs is slower than the node's (<c>node_is_toptier()</c>): there is nothing to promote its pages to.</summary>
    /// <param name="node">The node.</param>
    public bool IsTop(Node node) => TierOf(node) <= _machine.Nodes.Where(n => n.Cpus.Count != 0).Select(TierOf).DefaultIfEmpty(int.MaxValue).Max();

    /// <summary>The nodes that pages of a node are moved down to first (<c>next_demotion_node()</c>): the nearest of the next slower tier; empty where there is none.</summary>
    /// <param name="node">The node.</param>
    public IReadOnlyList<Node> DemotionTargets(Node node)
    {
        ArgumentNullException.ThrowIfNull(node);
        ulong mask = _targets[Own(node)];
        return [.. _machine.Nodes.Where(n => (mask >> n.Id & 1) != 0)];
    }

    /// <summary>The files, a line each: <c>memory_tier4/nodelist = 0-1</c>, then <c>numa/demotion_enabled = false</c>.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        foreach (IGrouping<int, Node> tier in _machine.Nodes.Where(HasMemory).GroupBy(TierOf).OrderBy(tier => tier.Key))
        {
            text.Append(CultureInfo.InvariantCulture, $"memory_tier{tier.Key}/nodelist = {ListOf([.. tier.Select(node => node.Id)])}\n");
        }

        return text.Append(CultureInfo.InvariantCulture, $"numa/demotion_enabled = {(DemotionEnabled ? "true" : "false")}\n").ToString();
    }

    /// <summary>Whether pages of a node have somewhere to go down to, and may (<c>can_demote()</c>).</summary>
    internal bool CanDemote(Node node) => _demotes && _targets[node.Id] != 0;

    /// <summary>The first node to move pages of a node to; among equally near ones the next in turn would be as good.</summary>
    internal Node FirstTarget(Node node) => _machine.ZoneTable.NodeOrDefault(BitOperations.TrailingZeroCount(_targets[node.Id]))!;

    /// <summary>All nodes in slower tiers than a node's, a bit each (<c>node_get_allowed_targets()</c>).</summary>
    internal ulong Slower(Node node)
    {
        ulong slower = 0;
        foreach (Node other in _machine.Nodes)
        {
            slower |= TierOf(other) > TierOf(node) && HasMemory(other) ? 1UL << other.Id : 0;
        }

        return slower;
    }

    private static bool HasMemory(Node node) => node.PresentPages != 0 && node.Id < 64;

    private int Own(Node node) => ReferenceEquals(_machine.ZoneTable.NodeOrDefault(node.Id), node) ? node.Id : throw new ArgumentException($"{node} belongs to another machine", nameof(node));

    /// <summary>Each node's nearest ones in the next slower tier (<c>establish_demotion_targets()</c>).</summary>
    private void FindTargets()
    {
        foreach (Node node in _machine.Nodes)
        {
            int own = TierOf(node);
            List<Node> below = [.. _machine.Nodes.Where(other => HasMemory(other) && TierOf(other) > own)];
            int next = below.Select(TierOf).DefaultIfEmpty(0).Min();
            int nearest = below.Where(other => TierOf(other) == next).Select(other => node.Distances[other.Id]).DefaultIfEmpty(0).Min();
            ulong mask = 0;
            foreach (Node other in below)
            {
                mask |= TierOf(other) == next && node.Distances[other.Id] == nearest ? 1UL << other.Id : 0;
            }

            _targets[node.Id] = mask;
        }
    }

    private static string ListOf(List<int> ids)
    {
        StringBuilder text = new();
        for (int i = 0; i < ids.Count;)
        {
            int end = i;
            while (end + 1 < ids.Count && ids[end + 1] == ids[end] + 1)
            {
                end++;
            }

            text.Append(i == 0 ? "" : ",").Append(ids[i].ToString(CultureInfo.InvariantCulture));
            if (end > i)
            {
                text.Append('-').Append(ids[end].ToString(CultureInfo.InvariantCulture));
            }

            i = end + 1;
        }

        return text.ToString();
    }
}
