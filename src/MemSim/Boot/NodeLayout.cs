namespace MemSim.Boot;

/// <summary>Lays nodes out over a memory map one after the other, as QEMU's <c>-numa</c> does.</summary>
internal static class NodeLayout
{
    // Firmware tables at the end of low memory, and the hole below 1 MiB, belong to the RAM that QEMU counts.
    private const ulong SmallGap = 1 << 20;

    public static NumaTopology Sequential(MemoryMap memory, IReadOnlyList<ByteSize> sizes, int cpus)
    {
        List<(ulong Start, ulong End)> ram = RamOf(memory);
        List<NumaNode> nodes = [];
        int segment = 0;
        ulong position = ram[0].Start;
        for (int id = 0; id < sizes.Count; id++)
        {
            List<(ulong, ulong)> ranges = [];
            ulong missing = sizes[id].Bytes;
            while (missing > 0)
            {
                if (segment == ram.Count)
                {
                    throw new ArgumentException($"node {id} of {sizes[id]}: the nodes together are larger than the machine's memory", nameof(sizes));
                }

                ulong length = Math.Min(missing, ram[segment].End - position);
                ranges.Add((position, length));
                missing -= length;
                position += length;
                if (position == ram[segment].End && ++segment < ram.Count)
                {
                    position = ram[segment].Start;
                }
            }

            int first = (int)((long)cpus * id / sizes.Count), next = (int)((long)cpus * (id + 1) / sizes.Count);
            nodes.Add(new NumaNode(id, ranges, [.. Enumerable.Range(first, next - first)]));
        }

        return segment == ram.Count ? NumaTopology.Of(nodes) : throw new ArgumentException("the nodes together are smaller than the machine's memory", nameof(sizes));
    }

    private static List<(ulong Start, ulong End)> RamOf(MemoryMap memory)
    {
        List<(ulong Start, ulong End)> ram = [];
        foreach (MemoryRange range in memory.Ranges)
        {
            bool joins = ram.Count > 0 && range.Start - ram[^1].End < SmallGap && range.Length < SmallGap;
            if (ram.Count > 0 && range.Kind == MemoryRangeKind.Usable && range.Start - ram[^1].End < SmallGap)
            {
                ram[^1] = (ram[^1].Start, range.End);
            }
            else if (range.Kind == MemoryRangeKind.Usable)
            {
                ram.Add((range.Start, range.End));
            }
            else if (joins && (range.Start == ram[^1].End || range.End <= SmallGap))
            {
                ram[^1] = (ram[^1].Start, range.End);
            }
        }

        return ram;
    }
}
