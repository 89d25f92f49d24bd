using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>Cuts the memory of each node into emulated nodes (<c>numa=fake=</c>).</summary>
/// <remarks>
/// Pieces are dealt out over the physical nodes in turn. A piece ends at a multiple of 32 MiB of usable memory; it grows to the 4 GiB boundary or to the end of the
/// physical node when what would be left there is too little for another.
/// </remarks>
internal static class NumaEmulation
{
    private const ulong Granule = 32 << 20, FourGiB = 1UL << 32;

    public static NumaTopology Cut(NumaTopology physical, NumaFakeParameter fake, Memblock memblock, ulong end, List<string> log)
    {
        ulong usable = Usable(0, end);
        ulong size = fake.Nodes > 0 ? usable / (ulong)fake.Nodes : SizeOf(fake.NodeSize.Bytes);
        int larger = fake.Nodes > 0 ? (int)(size % Granule * (ulong)fake.Nodes / Granule) : 0;
        size -= size % Granule;
        if (size == 0)
        {
            throw new ArgumentException($"numa=fake={fake.Nodes}: not enough memory for {fake.Nodes} nodes of at least 32M");
        }

        // Each turn takes one piece of one node's first block that is left.
        Queue<(int Node, int Block, ulong Start)> left = new(physical.Nodes.Where(node => node.Memory.Count > 0).Select(node => (node.Id, 0, node.Memory[0].Start)));

        List<(int Physical, List<(ulong Start, ulong Length)> Memory)> nodes = [];
        int number = 0;
        while (left.TryDequeue(out (int Node, int Block, ulong Start) block))
        {
            IReadOnlyList<(ulong Start, ulong Length)> memory = physical.Nodes[block.Node].Memory;
            ulong blockEnd = memory[block.Block].Start + memory[block.Block].Length;
            ulong pieceEnd = Grow(block.Start, blockEnd, size + (number < larger ? Granule : 0), size);
            int id = fake.Nodes > 0 ? number % fake.Nodes : number;
            if (id >= nodes.Count)
            {
                nodes.Add((block.Node, []));
            }

            nodes[id].Memory.Add((block.Start, pieceEnd - block.Start));
            log.Add($"Faking node {id} at [mem 0x{block.Start:x16}-0x{pieceEnd - 1:x16}] ({(pieceEnd - block.Start) >> 20}MB)");
            number++;
            if (pieceEnd < blockEnd)
            {
                left.Enqueue((block.Node, block.Block, pieceEnd));
            }
            else if (block.Block + 1 < memory.Count)
            {
                left.Enqueue((block.Node, block.Block + 1, memory[block.Block + 1].Start));
            }
        }

        return Topology(physical, nodes);

        ulong Usable(ulong from, ulong to) =>
            (ulong)Math.Max(0, memblock.PresentPages(new PhysicalAddress(from + PageGeometry.PageSize - 1).Pfn, new PhysicalAddress(to).Pfn)) << PageGeometry.PageShift;

        ulong SizeOf(ulong wanted)
        {
            ulong smallest = Math.Max(usable / NumaTopology.MaxNodes, Granule);
            return Math.Max(wanted, (smallest + Granule - 1) & ~(Granule - 1));
        }

        // Bounded by (limit - start) / Granule steps.
        ulong Grow(ulong start, ulong limit, ulong length, ulong enough)
        {
            ulong pieceEnd = start + length;
            while (pieceEnd < limit && Usable(start, pieceEnd) < enough)
            {
                pieceEnd += Granule;
            }

            pieceEnd = Math.Min(pieceEnd, limit);
            if (pieceEnd < FourGiB && Usable(pieceEnd, FourGiB) < Granule)
            {
                pieceEnd = FourGiB;
            }

            return pieceEnd >= limit || Usable(pieceEnd, limit) < enough ? limit : pieceEnd;
        }
    }

    // A CPU is near all nodes that were cut from its own; distances are those of the physical nodes.
    private static NumaTopology Topology(NumaTopology physical, List<(int Physical, List<(ulong Start, ulong Length)> Memory)> nodes)
    {
        int[,] distances = new int[nodes.Count, nodes.Count];
        for (int from = 0; from < nodes.Count; from++)
        {
            for (int to = 0; to < nodes.Count; to++)
            {
                distances[from, to] = physical.Distance(nodes[from].Physical, nodes[to].Physical);
            }
        }

        return NumaTopology.Emulated([.. nodes.Select((node, id) => new NumaNode(id, node.Memory, physical.Nodes[node.Physical].Cpus))], distances);
    }
}
