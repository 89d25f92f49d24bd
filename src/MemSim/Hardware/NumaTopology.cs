namespace MemSim;

/// <summary>A NUMA node: memory and CPUs that are close to each other.</summary>
/// <param name="Id">The node's number.</param>
/// <param name="Memory">Its ranges of physical addresses as (start, length in bytes); holes of the memory map may lie in them. Empty for a node without memory.</param>
/// <param name="Cpus">The numbers of its CPUs; empty for a node without.</param>
public sealed record NumaNode(int Id, IReadOnlyList<(ulong Start, ulong Length)> Memory, IReadOnlyList<int> Cpus)
{
    /// <summary>A node with one range of memory.</summary>
    /// <param name="id">The node's number.</param>
    /// <param name="start">Physical address of the first byte.</param>
    /// <param name="length">Length of the range.</param>
    /// <param name="cpus">The numbers of its CPUs.</param>
    public NumaNode(int id, ulong start, ByteSize length, params int[] cpus)
        : this(id, [(start, length.Bytes)], cpus)
    {
    }
}

/// <summary>The nodes of a machine and how far they are from each other.</summary>
/// <remarks>Immutable. Counterparts: the ACPI tables SRAT and SLIT.</remarks>
public sealed class NumaTopology
{
    /// <summary>Distance of a node to itself.</summary>
    public const int LocalDistance = 10;

    /// <summary>Distance between two nodes where nothing else is said.</summary>
    public const int RemoteDistance = 20;

    /// <summary>The largest number of nodes (the kernel's <c>MAX_NUMNODES</c> on amd64).</summary>
    public const int MaxNodes = 1024;

    private readonly NumaNode[] nodes;
    private readonly int[][] distances;

    private NumaTopology(NumaNode[] nodes, int[,] distances)
    {
        this.nodes = nodes;
        this.distances = [.. Enumerable.Range(0, distances.GetLength(0)).Select(from => Enumerable.Range(0, distances.GetLength(1)).Select(to => distances[from, to]).ToArray())];
    }

    /// <summary>The nodes by number.</summary>
    public IReadOnlyList<NumaNode> Nodes => nodes;

    /// <summary>A topology in which every node is 10 from itself and 20 from the others.</summary>
    /// <param name="nodes">The nodes; their numbers must be 0, 1, 2, ...</param>
    /// <exception cref="ArgumentException">Numbers missing, memory of two nodes overlapping, a CPU in two nodes, no memory at all.</exception>
    public static NumaTopology Of(params IReadOnlyList<NumaNode> nodes)
    {
        ArgumentNullException.ThrowIfNull(nodes);
        int[,] distances = new int[nodes.Count, nodes.Count];
        for (int from = 0; from < nodes.Count; from++)
        {
            for (int to = 0; to < nodes.Count; to++)
            {
                distances[from, to] = from == to ? LocalDistance : RemoteDistance;
            }
        }

        return Of(nodes, distances);
    }

    /// <summary>A topology with a table of distances.</summary>
    /// <param name="nodes">The nodes; their numbers must be 0, 1, 2, ...</param>
    /// <param name="distances">Distance by [from, to]: 10 on the diagonal, 11 to 254 elsewhere.</param>
    /// <exception cref="ArgumentException">Numbers missing, memory of two nodes overlapping, a CPU in two nodes, no memory at all, a distance out of range.</exception>
    public static NumaTopology Of(IReadOnlyList<NumaNode> nodes, int[,] distances)
    {
        ArgumentNullException.ThrowIfNull(nodes);
        ArgumentNullException.ThrowIfNull(distances);
        CheckNodes(nodes);
        CheckDistances(nodes.Count, distances);
        return new NumaTopology([.. nodes], distances);
    }

    /// <summary>The distance between two nodes.</summary>
    public int Distance(int from, int to) => distances[from][to];

    // Emulated nodes (numa=fake=) share the CPUs of the node they were cut from, which CheckNodes would refuse.
    internal static NumaTopology Emulated(IReadOnlyList<NumaNode> nodes, int[,] distances) => new([.. nodes], distances);

    private static void CheckNodes(IReadOnlyList<NumaNode> nodes)
    {
        if (nodes.Count is 0 or > MaxNodes)
        {
            throw new ArgumentException($"a machine of {nodes.Count} nodes: 1 to {MaxNodes} are possible", nameof(nodes));
        }

        List<(ulong Start, ulong End, int Node)> ranges = [];
        Dictionary<int, int> nodeOfCpu = [];
        for (int i = 0; i < nodes.Count; i++)
        {
            NumaNode node = nodes[i];
            if (node.Id != i)
            {
                throw new ArgumentException($"node {node.Id} stands where node {i} is expected: nodes are numbered 0, 1, 2, ...", nameof(nodes));
            }

            foreach ((ulong start, ulong length) in node.Memory)
            {
                if (length == 0 || start + length < start || (start | length) % PageGeometry.PageSize != 0)
                {
                    throw new ArgumentException($"node {i}: memory at 0x{start:x} of 0x{length:x} bytes is empty, not made of whole pages or beyond the address space", nameof(nodes));
                }

                ranges.Add((start, start + length, i));
            }

            foreach (int cpu in node.Cpus)
            {
                if (!nodeOfCpu.TryAdd(cpu, i))
                {
                    throw new ArgumentException($"CPU {cpu} is in node {nodeOfCpu[cpu]} and in node {i}", nameof(nodes));
                }
            }
        }

        if (ranges.Count == 0)
        {
            throw new ArgumentException("no node has memory", nameof(nodes));
        }

        ranges.Sort();
        for (int i = 1; i < ranges.Count; i++)
        {
            if (ranges[i].Start < ranges[i - 1].End)
            {
                throw new ArgumentException($"memory at 0x{ranges[i].Start:x} belongs to node {ranges[i - 1].Node} and to node {ranges[i].Node}", nameof(nodes));
            }
        }
    }

    private static void CheckDistances(int count, int[,] distances)
    {
        if (distances.GetLength(0) != count || distances.GetLength(1) != count)
        {
            throw new ArgumentException($"the table of distances is {distances.GetLength(0)} x {distances.GetLength(1)} for {count} nodes", nameof(distances));
        }

        for (int from = 0; from < count; from++)
        {
            for (int to = 0; to < count; to++)
            {
                int distance = distances[from, to];
                if (from == to ? distance != LocalDistance : distance is <= LocalDistance or > 254)
                {
                    throw new ArgumentException($"distance {distance} from node {from} to node {to}: {LocalDistance} to itself, {LocalDistance + 1} to 254 to others are possible", nameof(distances));
                }
            }
        }
    }
}
