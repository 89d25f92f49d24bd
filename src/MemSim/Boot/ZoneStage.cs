using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>Third phase: node and zone spans, holes, ZONE_MOVABLE. All numbers are frames.</summary>
internal sealed class ZoneStage
{
    private const long MaxOrderPages = 1L << PageGeometry.MaxOrder;

    private readonly MachineSpec spec;
    private readonly ArchitectureInfo architecture;
    private readonly Memblock memblock;
    private readonly List<string> log;

    public ZoneStage(MachineSpec spec, Memblock memblock, long maxPfn, long maxLowPfn, List<string> log)
    {
        this.spec = spec;
        this.memblock = memblock;
        this.log = log;
        architecture = ArchitectureInfo.Of(spec.Architecture);
        Low = new long[architecture.ZoneTypes.Count];
        High = new long[Low.Length];
        long start = (long)(memblock.Memory[0].Start >> PageGeometry.PageShift);
        for (int i = 0; i < Low.Length; i++)
        {
            if (architecture.ZoneTypes[i] is not (ZoneType.Movable or ZoneType.Device))
            {
                Low[i] = start;
                High[i] = start = Math.Max(start, Limit(architecture.ZoneTypes[i], maxPfn, maxLowPfn));
            }
        }
    }

    /// <summary>First frame a zone of an index may have on any node.</summary>
    public long[] Low { get; }

    /// <summary>Frame after the last a zone of an index may have on any node.</summary>
    public long[] High { get; }

    /// <summary>The nodes; zones have all present frames as managed yet.</summary>
    public List<BootNode> Run(IReadOnlyList<(int Id, IReadOnlyList<int> Cpus)> nodes)
    {
        long[] movableStart = MovableStarts(nodes.Count);
        List<BootNode> planned = [];
        foreach ((int id, IReadOnlyList<int> cpus) in nodes)
        {
            (long start, long end) = SpanOf(id);
            BootZone[] zones = new BootZone[architecture.ZoneTypes.Count];
            long present = 0;
            for (int i = 0; i < zones.Length; i++)
            {
                zones[i] = ZoneOf(id, i, start, end, movableStart[id]);
                present += zones[i].PresentPages;
            }

            planned.Add(new BootNode(id, new Pfn(start), end - start, present, cpus, zones) { MovableStart = movableStart[id] == 0 ? null : new Pfn(movableStart[id]) });
        }

        WriteLog(planned);
        return planned;
    }

    private long Limit(ZoneType type, long maxPfn, long maxLowPfn)
    {
        const long SixteenMiB = (16 << 20) >> PageGeometry.PageShift, FourGiB = 1L << (32 - PageGeometry.PageShift);
        bool arm = spec.Architecture == Architecture.Arm64;
        return type switch
        {
            // arm64: below 4 GiB; but when all memory is above, the whole of it.
            ZoneType.Dma when arm => (long)(memblock.Memory[0].Start >> PageGeometry.PageShift) >= FourGiB ? maxPfn : Math.Min(FourGiB, maxPfn),
            ZoneType.Dma32 when arm => Math.Min(FourGiB, maxPfn),
            ZoneType.Dma => Math.Min(SixteenMiB, maxLowPfn),
            ZoneType.Dma32 => Math.Min(FourGiB, maxLowPfn),
            ZoneType.Normal => maxLowPfn,
            _ => maxPfn,
        };
    }

    private (long Start, long End) SpanOf(int node)
    {
        long first = long.MaxValue, last = 0;
        foreach ((long start, long end, int owner) in memblock.PageRanges())
        {
            if (owner == node)
            {
                first = Math.Min(first, start);
                last = Math.Max(last, end);
            }
        }

        return last == 0 ? (0, 0) : (first, last);
    }

    private BootZone ZoneOf(int node, int index, long nodeStart, long nodeEnd, long movableStart)
    {
        ZoneType type = architecture.ZoneTypes[index];
        long start = Math.Clamp(nodeStart, Low[index], High[index]), end = Math.Clamp(nodeEnd, Low[index], High[index]);
        if (type == ZoneType.Movable && movableStart != 0)
        {
            (start, end) = (movableStart, Math.Min(nodeEnd, High[UsableZone()]));
        }
        else if (movableStart != 0)
        {
            (start, end) = (Math.Min(start, movableStart), Math.Min(end, movableStart));
        }

        start = Math.Max(start, nodeStart);
        end = Math.Min(end, nodeEnd);
        if (start >= end)
        {
            return new BootZone(node, type, new Pfn(0), 0, 0, 0);
        }

        long present = memblock.PresentPages(new Pfn(start), new Pfn(end), node);
        return new BootZone(node, type, new Pfn(start), end - start, present, present);
    }

    // The highest zone of the machine: ZONE_MOVABLE is taken from it alone.
    private int UsableZone()
    {
        int usable = 0;
        for (int i = 0; i < Low.Length; i++)
        {
            usable = High[i] > Low[i] ? i : usable;
        }

        return usable;
    }

    /// <summary>Where ZONE_MOVABLE starts on each node, 0 for nowhere.</summary>
    /// <remarks>
    /// The kernel's share is spread evenly over the nodes with memory: each node gives its lowest frames, and all below the highest zone count as the kernel's whether wanted or
    /// not. What a small node could not give is spread over the rest in another round.
    /// </remarks>
    private long[] MovableStarts(int nodes)
    {
        long[] starts = new long[nodes];
        long total = 0;
        bool[] hasMemory = new bool[nodes];
        foreach ((long start, long end, int node) in memblock.PageRanges())
        {
            total += end - start;
            hasMemory[node] = true;
        }

        long kernelPages = KernelPages(total);
        if (kernelPages == 0 || kernelPages >= total)
        {
            return starts;
        }

        long usableStart = Low[UsableZone()];
        for (int usableNodes = hasMemory.Count(has => has); usableNodes > 0; usableNodes--)
        {
            long share = kernelPages / usableNodes;
            for (int node = 0; node < nodes; node++)
            {
                if (hasMemory[node])
                {
                    // Once less than a full share is left, that is divided anew.
                    share = kernelPages < share ? kernelPages / usableNodes : share;
                    Take(node, share, usableStart, ref starts[node], ref kernelPages);
                }
            }

            if (usableNodes - 1 == 0 || kernelPages <= usableNodes - 1)
            {
                break;
            }
        }

        for (int node = 0; node < nodes; node++)
        {
            starts[node] = (starts[node] + MaxOrderPages - 1) & ~(MaxOrderPages - 1);
            starts[node] = starts[node] >= SpanOf(node).End ? 0 : starts[node];
        }

        return starts;
    }

    // Moves a node's start of ZONE_MOVABLE up by the share of kernel pages it can give.
    private void Take(int node, long share, long usableStart, ref long start, ref long kernelPages)
    {
        foreach ((long from, long to, int owner) in memblock.PageRanges())
        {
            long first = Math.Max(from, start);
            if (owner != node || first >= to)
            {
                continue;
            }

            if (first < usableStart)
            {
                long below = Math.Min(to, usableStart) - first;
                share -= Math.Min(below, share);
                kernelPages -= Math.Min(below, kernelPages);
                start = Math.Min(to, usableStart);
                if (to <= usableStart)
                {
                    continue;
                }

                first = usableStart;
            }

            long taken = Math.Min(to - first, share);
            start = first + taken;
            kernelPages -= Math.Min(kernelPages, taken);
            share -= taken;
            if (share == 0)
            {
                return;
            }
        }
    }

    private long KernelPages(long total)
    {
        long kernel = spec.CommandLine.KernelCore?.Pages(total) ?? 0;
        if (kernel > total)
        {
            throw new ArgumentException($"kernelcore={spec.CommandLine.KernelCore}: the machine has {ByteSize.FromPages(total)} of memory");
        }

        long movable = spec.CommandLine.MovableCore?.Pages(total) ?? 0;
        if (movable > total)
        {
            throw new ArgumentException($"movablecore={spec.CommandLine.MovableCore}: the machine has {ByteSize.FromPages(total)} of memory");
        }

        if (movable > 0)
        {
            movable = Math.Min(total, (movable + MaxOrderPages - 1) & ~(MaxOrderPages - 1));
            kernel = Math.Max(kernel, total - movable);
        }

        return kernel;
    }

    private void WriteLog(List<BootNode> nodes)
    {
        log.Add("Zone ranges:");
        for (int i = 0; i < Low.Length; i++)
        {
            ZoneType type = architecture.ZoneTypes[i];
            if (type != ZoneType.Movable)
            {
                log.Add($"  {type.KernelName(),-8} " + (Low[i] == High[i] ? "empty" : Bytes(Low[i], High[i])));
            }
        }

        log.Add("Movable zone start for each node");
        log.AddRange(nodes.Where(node => node.MovableStart is not null).Select(node => $"  Node {node.Id}: 0x{node.MovableStart!.Value.PhysicalAddress.Value:x16}"));
        log.Add("Early memory node ranges");
        log.AddRange(memblock.PageRanges().Select(range => $"  node {range.Node,3}: {Bytes(range.Start, range.End)}"));
        foreach (BootNode node in nodes)
        {
            if (node.SpannedPages == 0 && spec.Architecture == Architecture.X86_64)
            {
                log.Add($"Initializing node {node.Id} as memoryless");
            }

            log.Add(node.SpannedPages > 0 ? $"Initmem setup node {node.Id} {Bytes(node.Start.Value, node.End.Value)}" : $"Initmem setup node {node.Id} as memoryless");
        }

        UnavailableRanges.Log(spec, memblock, nodes, log);
    }

    private static string Bytes(long start, long end) => $"[mem 0x{(ulong)start << PageGeometry.PageShift:x16}-0x{((ulong)end << PageGeometry.PageShift) - 1:x16}]";
}
