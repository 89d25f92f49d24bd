using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>Second phase: which node each piece of memory and each CPU belongs to.</summary>
internal static class NodeStage
{
    /// <summary>Gives every region of memory its node; returns the nodes, or null on a machine with one node that nobody described.</summary>
    public static NumaTopology? Run(MachineSpec spec, Memblock memblock, long maxPfn, List<string> log)
    {
        bool x86 = spec.Architecture != Architecture.Arm64;
        bool numaKernel = spec.Architecture is Architecture.X86_64 or Architecture.Arm64;
        ulong end = (ulong)maxPfn << PageGeometry.PageShift;
        NumaTopology? topology = spec.CommandLine.NumaOff ? null : spec.Topology;
        if (topology is not null && !numaKernel)
        {
            throw new ArgumentException($"{topology.Nodes.Count} nodes: {ArchitectureInfo.Of(spec.Architecture).Name} kernels have no NUMA support");
        }

        topology = topology is null ? null : WithAllCpus(topology, spec.CpuCount);
        if (topology is not null)
        {
            CheckCovered(memblock, topology);
            topology = x86 ? Join(topology, spec.Personality.Views.BounceBuffersBeforeZonelists ? memblock.Memory[0].Start : 0, end, log) : topology;
        }
        else if (numaKernel)
        {
            ulong first = x86 ? 0 : memblock.Memory[0].Start;
            log.Add((x86 ? "" : "NUMA: ") + (spec.CommandLine.NumaOff ? "NUMA turned off" : "No NUMA configuration found"));
            log.Add((x86 ? "" : "NUMA: ") + $"Faking a node at [mem 0x{first:x16}-0x{end - 1:x16}]");
        }

        if (spec.CommandLine.NumaFake is { } fake && spec.Architecture == Architecture.X86_64)
        {
            topology = NumaEmulation.Cut(topology ?? WholeMachine(spec.CpuCount, end), fake, memblock, end, log);
        }

        if (topology is null)
        {
            memblock.SetNode(0, ulong.MaxValue, 0);
            return null;
        }

        foreach (NumaNode node in topology.Nodes)
        {
            foreach ((ulong start, ulong length) in node.Memory)
            {
                memblock.SetNode(start, length, node.Id);
            }
        }

        return topology;
    }

    private static NumaTopology WholeMachine(int cpus, ulong end) => NumaTopology.Of([new NumaNode(0, [(0, end)], [.. Enumerable.Range(0, cpus)])]);

    // CPUs that no node was given are dealt out in turn, as the kernel does.
    private static NumaTopology WithAllCpus(NumaTopology topology, int cpus)
    {
        HashSet<int> known = [.. topology.Nodes.SelectMany(node => node.Cpus)];
        if (known.Count == cpus)
        {
            return topology;
        }

        List<int>[] cpusOf = [.. topology.Nodes.Select(node => node.Cpus.ToList())];
        int next = 0;
        for (int cpu = 0; cpu < cpus; cpu++)
        {
            if (!known.Contains(cpu))
            {
                cpusOf[next++ % cpusOf.Length].Add(cpu);
            }
        }

        return WithNodes(topology, [.. topology.Nodes.Select((node, i) => node with { Cpus = cpusOf[i] })]);
    }

    private static NumaTopology WithNodes(NumaTopology topology, IReadOnlyList<NumaNode> nodes)
    {
        int[,] distances = new int[nodes.Count, nodes.Count];
        for (int from = 0; from < nodes.Count; from++)
        {
            for (int to = 0; to < nodes.Count; to++)
            {
                distances[from, to] = topology.Distance(from, to);
            }
        }

        return NumaTopology.Of(nodes, distances);
    }

    // Ranges of a node are treated as one where no other node has memory in between; each such step is a line of the log.
    private static NumaTopology Join(NumaTopology topology, ulong begin, ulong end, List<string> log)
    {
        List<(int Node, ulong Start, ulong End)> blocks =
            [.. topology.Nodes.SelectMany(node => node.Memory.Select(range => (node.Id, Start: Math.Max(begin, range.Start), Math.Min(end, range.Start + range.Length)))).Where(block => block.Start < block.Item3)];
        for (int i = 0; i < blocks.Count; i++)
        {
            for (int j = i + 1; j < blocks.Count; j++)
            {
                (int node, ulong start, ulong stop) = blocks[i];
                ulong low = Math.Min(start, blocks[j].Start), high = Math.Max(stop, blocks[j].End);
                if (blocks[j].Node != node || blocks.Exists(block => block.Node != node && low < block.End && high > block.Start))
                {
                    continue;
                }

                log.Add($"NUMA: Node {node} {Range(start, stop)} + {Range(blocks[j].Start, blocks[j].End)} -> {Range(low, high)}");
                blocks[i] = (node, low, high);
                blocks.RemoveAt(j--);
            }
        }

        return WithNodes(topology, [.. topology.Nodes.Select(node => node with { Memory = [.. blocks.Where(block => block.Node == node.Id).Select(block => (block.Start, block.End - block.Start))] })]);

        static string Range(ulong from, ulong to) => $"[mem 0x{from:x8}-0x{to - 1:x8}]";
    }

    private static void CheckCovered(Memblock memblock, NumaTopology topology)
    {
        Memblock uncovered = memblock.Clone();
        foreach ((ulong start, ulong length) in topology.Nodes.SelectMany(node => node.Memory))
        {
            uncovered.Remove(start, length);
        }

        if (uncovered.Memory.Count > 0)
        {
            MemblockRegion region = uncovered.Memory[0];
            throw new ArgumentException($"memory from 0x{region.Start:x} to 0x{region.End:x} belongs to no node");
        }
    }
}
