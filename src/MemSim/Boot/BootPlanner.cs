using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>Runs the phases of a boot up to the page allocator: from a machine's description to the frames its allocator starts with.</summary>
/// <remarks>Pure: the same description gives the same plan. Costs grow with the number of memory ranges, nodes and CPUs, not with the amount of memory.</remarks>
public static class BootPlanner
{
    /// <summary>Plans the boot of a machine.</summary>
    /// <param name="spec">The machine.</param>
    /// <exception cref="ArgumentException">Something about the machine cannot be: too little memory for the kernel, a reservation where there is no memory, nodes that do not cover memory.</exception>
    public static BootPlan Plan(MachineSpec spec)
    {
        ArgumentNullException.ThrowIfNull(spec);
        BootPlan plan = new(spec) { PossibleCpus = Math.Min(spec.CpuCount, spec.CommandLine.CpuLimit ?? int.MaxValue) };
        plan.OnlineCpus = Math.Min(plan.PossibleCpus, Math.Max(1, spec.CommandLine.MaxCpus ?? int.MaxValue));
        if (spec.Zones is null)
        {
            PlanFromMemory(plan);
        }
        else
        {
            PlanFromZones(plan, spec.Zones);
        }

        return plan;
    }

    private static void PlanFromMemory(BootPlan plan)
    {
        MachineSpec spec = plan.Spec;
        List<string> log = [];
        if (spec.Architecture == Architecture.X86_64)
        {
            log.Add($"Command line: {spec.CommandLine}");
        }

        FirmwareStage firmware = new(spec, log);
        firmware.Run();
        Memblock memblock = firmware.Memblock;
        EarlyAllocationStage early = new(spec, memblock, log);
        early.ReserveImage();
        if (spec.Architecture is Architecture.X86_32 or Architecture.X86_32Pae)
        {
            log.Add($"{(firmware.MaxPfn - firmware.MaxLowPfn) >> 8}MB HIGHMEM available.");
            log.Add($"{firmware.MaxLowPfn >> 8}MB LOWMEM available.");
            log.Add($"  mapped low ram: 0 - {firmware.MaxLowPfn << PageGeometry.PageShift:x8}");
            log.Add($"  low ram: 0 - {firmware.MaxLowPfn << PageGeometry.PageShift:x8}");
        }

        early.AllocatePageTables();
        if (spec.Architecture != Architecture.Arm64)
        {
            early.AllocateLogBuffer();
        }

        plan.Topology = NodeStage.Run(spec, memblock, firmware.MaxPfn, log);
        List<(int Id, IReadOnlyList<int> Cpus)> nodes = [.. plan.Topology?.Nodes.Select(node => (node.Id, Possible(plan, node.Cpus))) ?? [(0, [.. Enumerable.Range(0, plan.PossibleCpus)])]];
        early.AllocateNodes(nodes.Select(node => (node.Id, memblock.Memory.Any(region => region.Node == node.Id))));
        bool cmaFirst = spec.Architecture != Architecture.Arm64;
        if (cmaFirst)
        {
            // x86 reserves it once it knows the nodes, arm64 once it knows the zones.
            early.ReserveCma();
        }

        early.ReserveCrashKernel();
        early.AllocateMemoryMap([.. nodes.Select(node => node.Id)]);

        List<BootNode> planned = new ZoneStage(spec, memblock, firmware.MaxPfn, firmware.MaxLowPfn, log).Run(nodes);
        early.ReserveCmaAreas();
        if (!cmaFirst)
        {
            early.ReserveCma();
        }

        early.AllocatePercpu(PercpuNodes(plan, nodes), plan.PossibleCpus);
        plan.GiganticPages = early.AllocateGiganticPages([.. nodes.Select(node => node.Id)]);
        if (spec.Architecture == Architecture.Arm64)
        {
            // arm64 makes the log larger only once the per-CPU areas exist.
            early.AllocateLogBuffer();
        }

        (plan.EstimatedPages, long kernelPages) = PageEstimate.Of(spec, memblock, planned);
        early.AllocateTables(kernelPages, plan.EstimatedPages, planned.Count(node => node.PresentPages > 0) > 1, firmware.MaxPfn);
        early.AllocatePageExtensions([.. nodes.Select(node => node.Id)]);
        plan.Memory = firmware.Map;
        plan.EarlyAllocations = early.Done;
        plan.Cma = early.Cma;
        plan.CmaAreas = early.CmaAreas;
        plan.Percpu = early.Percpu;
        Finish(plan, memblock, planned, firmware.MaxLowPfn, early, log);
    }

    private static void PlanFromZones(BootPlan plan, IReadOnlyList<BootZone> zones)
    {
        MachineSpec spec = plan.Spec;
        ArchitectureInfo architecture = ArchitectureInfo.Of(spec.Architecture);
        int count = Math.Max(zones.Max(zone => zone.Node) + 1, spec.Topology?.Nodes.Count ?? 1);
        plan.Topology = spec.Topology;
        List<BootNode> nodes = [];
        for (int id = 0; id < count; id++)
        {
            List<BootZone> own = [.. zones.Where(zone => zone.Node == id)];
            long start = own.Count == 0 ? 0 : own.Min(zone => zone.Start.Value), end = own.Count == 0 ? 0 : own.Max(zone => zone.End.Value);
            BootZone[] all = [.. architecture.ZoneTypes.Select(type => own.Find(zone => zone.Type == type) ?? new BootZone(id, type, new Pfn(0), 0, 0, 0))];
            int first = (int)((long)spec.CpuCount * id / count), next = (int)((long)spec.CpuCount * (id + 1) / count);
            IReadOnlyList<int> cpus = spec.Topology is { } topology && id < topology.Nodes.Count ? topology.Nodes[id].Cpus : [.. Enumerable.Range(first, next - first)];
            cpus = Possible(plan, cpus);
            nodes.Add(new BootNode(id, new Pfn(start), end - start, own.Sum(zone => zone.PresentPages), cpus, all) { MovableStart = own.Find(zone => zone.Type == ZoneType.Movable)?.Start });
        }

        if (plan.Topology is null && count > 1)
        {
            plan.Topology = NumaTopology.Of([.. nodes.Select(node => new NumaNode(
                node.Id,
                node.SpannedPages == 0 ? [] : [(node.Start.PhysicalAddress.Value, (ulong)node.PresentPages << PageGeometry.PageShift)],
                node.Cpus))]);
        }

        Memblock memblock = ExplicitZones.ToMemblock(zones);
        long highStart = zones.Where(zone => zone.Type == ZoneType.HighMem).Select(zone => zone.Start.Value).DefaultIfEmpty(long.MaxValue).Min();
        plan.EstimatedPages = zones.Sum(zone => zone.ManagedPages);
        Finish(plan, memblock, nodes, highStart, null, []);
    }

    private static void Finish(BootPlan plan, Memblock memblock, List<BootNode> nodes, long maxLowPfn, EarlyAllocationStage? early, List<string> log)
    {
        MachineSpec spec = plan.Spec;
        bool highMemory = spec.Architecture is Architecture.X86_32 or Architecture.X86_32Pae;
        nodes = [.. nodes.Select(node => node with { FirstDeferred = early is null ? null : ReleaseStage.FirstDeferred(spec, memblock, node) })];
        ReleaseStage release = new(spec, memblock, nodes, highMemory ? maxLowPfn : long.MaxValue);
        release.Run(early);

        List<BootNode> finished = ReleaseStage.WithManagedPages(nodes, release.Releases);
        finished = ZonelistStage.Run(finished, plan.Topology);
        BootZone Final(BootZone zone) => finished[zone.Node].Zones[ArchitectureInfo.Of(spec.Architecture).IndexOf(zone.Type)];
        plan.Memblock = memblock;
        plan.Nodes = finished;
        plan.Zones = [.. finished.SelectMany(node => node.Zones).Where(zone => zone.IsPopulated)];
        plan.Releases = [.. release.Releases.Select(range => range with { Zone = Final(range.Zone) })];
        plan.UnmovablePageblocks = early is null
            ? []
            : [.. ReleaseStage.UnmovablePageblocks(spec, memblock, nodes).Select(block => (Final(block.Zone), block.First, block.Count))];
        plan.MobilityGrouping = plan.EstimatedPages >= (5L << ArchitectureInfo.Of(spec.Architecture).PageblockOrder);
        plan.PolicyZone = plan.Zones.Where(zone => zone.Type is not (ZoneType.Movable or ZoneType.Device)).Max(zone => zone.Type);
        ClosingLog.Write(plan, log, early);
        plan.BootLog = log;
    }

    private static IReadOnlyList<int> Possible(BootPlan plan, IReadOnlyList<int> cpus) => [.. cpus.Where(cpu => cpu < plan.PossibleCpus)];

    // Per-CPU areas lie on the node of their CPU; with emulated nodes, which share CPUs, on the first that has it.
    private static List<IReadOnlyList<int>> PercpuNodes(BootPlan plan, List<(int Id, IReadOnlyList<int> Cpus)> nodes)
    {
        HashSet<int> seen = [];
        List<IReadOnlyList<int>> groups = [];
        foreach ((_, IReadOnlyList<int> cpus) in nodes)
        {
            groups.Add([.. cpus.Where(cpu => cpu < plan.PossibleCpus && seen.Add(cpu))]);
        }

        return groups;
    }
}
