using MemSim.Zones;

namespace MemSim;

/// <summary>A NUMA node: memory at one distance from its CPUs (<c>pg_data_t</c>).</summary>
public sealed class Node
{
    private readonly List<Zone> _zones = [];
    private readonly List<Cpu> _cpus = [];

    internal Node(int id) => Id = id;

    /// <summary>The node's number.</summary>
    public int Id { get; }

    /// <summary>All its zones in kernel order, empty ones included.</summary>
    public IReadOnlyList<Zone> Zones => _zones;

    /// <summary>The CPUs of this node.</summary>
    public IReadOnlyList<Cpu> Cpus => _cpus;

    /// <summary>The distance to each node of the machine, by node number; 10 is local.</summary>
    public IReadOnlyList<int> Distances { get; internal set; } = [];

    /// <summary>Frames that exist in all zones.</summary>
    public long PresentPages => _zones.Sum(z => z.PresentPages);

    /// <summary>The counters of subsystems above the page allocator (<c>vm_stat</c> of the node).</summary>
    public NodeCounters Counters { get; } = new();

    /// <summary>Whether kswapd has been woken and has not looked yet (there is none before reclaim exists: see <see cref="KswapdWakeups"/>).</summary>
    public long KswapdWakeups { get; internal set; }

    /// <summary>The numbers of the nodes in the order in which memory is looked for from here, itself first.</summary>
    public IReadOnlyList<int> FallbackOrder { get; internal set; } = [];

    /// <summary>What the allocator searches for requests made on this node, by the low four flag bits.</summary>
    internal Zonelist[] Zonelists { get; set; } = [];

    /// <summary>The same for requests that may use no other node.</summary>
    internal Zonelist[] ThisNodeZonelists { get; set; } = [];

    /// <summary>The zone of a kind.</summary>
    /// <param name="type">The kind.</param>
    /// <exception cref="ArgumentException">The architecture has no such zone.</exception>
    public Zone GetZone(ZoneType type)
    {
        foreach (Zone zone in _zones)
        {
            if (zone.Type == type)
            {
                return zone;
            }
        }

        throw new ArgumentException($"node {Id} has no zone {type.KernelName()} on this architecture", nameof(type));
    }

    /// <summary>The node as <c>Node 0</c>.</summary>
    public override string ToString() => $"Node {Id}";

    internal void Add(Zone zone) => _zones.Add(zone);

    internal void Add(Cpu cpu) => _cpus.Add(cpu);
}
