using MemSim.Hardware;
using MemSim.Observability;
using MemSim.PageAllocation;
using MemSim.Pages;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace MemSim.Boot;

/// <summary>Carries a boot plan out: builds the machine, computes its figures when the kernel would, frees memory in the kernel's order.</summary>
internal static partial class MachineBooter
{
    /// <summary>Boots a machine; tests may give one that decides, in place of the host, which of its parallel CPUs goes on.</summary>
    public static Machine Boot(MachineSpec spec, IInterleaver? interleaver = null)
    {
        ArgumentNullException.ThrowIfNull(spec);
        if (spec.Start is { } start)
        {
            Machine restored = StateRestorer.Restore(start.State, blueprint => new Machine(Started(blueprint, spec, start)), spec.HasContents, spec.CommandLine);
            ArmFaults(restored, spec.CommandLine);
            return restored;
        }

        BootPlan plan = BootPlanner.Plan(spec);
        Machine machine = new(Blueprint(plan) with { Interleaver = interleaver });
        try
        {
            machine.BootPlan = plan;
            machine.ZoneTable.HasBooted = true;
            machine.Hooks.InitMemory(spec.CommandLine.ZeroesOnAlloc == true, spec.CommandLine.ZeroesOnFree == true);
            for (int cpu = plan.OnlineCpus; cpu < machine.Cpus.Count; cpu++)
            {
                machine.Cpus[cpu].IsOnline = false;
            }

            SetPageblockTypes(machine, plan);
            SetCmaAreas(machine, plan);
            Release(machine, plan, early: true);
            ComputeSettings(machine, plan);
            long[] held = [.. machine.Zones.Select(z => z.PagesOnNoList)];
            machine.BuildSubsystems(new SubsystemOptions
            {
                Mmu = spec.Mmu,
                Stacks = spec.Stacks,
                Slab = spec.CommandLine.Slab,
                DefaultHugePageSize = spec.CommandLine.DefaultHugePageSize,
                Percpu = plan.Percpu,
                NumaBalancing = spec.CommandLine.NumaBalancing,
                Restored = false,
                TracksIdlePages = (spec.Recorded & PageRecords.Idleness) != 0,
            });

            // Without reserved frames the kernel's tables are pages of the allocator, in use like any other.
            long[] taken = [.. machine.Zones.Select(z => z.PagesOnNoList - held[z.Id])];
            if (spec.CommandLine.HugePagePools.Count != 0)
            {
                plan.BootLog = [.. plan.BootLog, .. machine.Hugetlb.FillAtBoot(machine.Cpus[0], [.. plan.GiganticPages.Select(range => (range.Start, range.Pages))], spec.CommandLine.HugePagePools)];
            }

            Release(machine, plan, early: false);
            CountUntracked(machine, taken);
            foreach (ZoneLayout zone in spec.Twin?.Captured.Layout.Zones ?? [])
            {
                if (zone.CmaPages != 0)
                {
                    // Where the area lies a capture does not tell: it is known by its size only.
                    machine.GetNode(zone.Node).GetZone(zone.Type).CmaPages = zone.CmaPages;
                }
            }

            if (spec.DeviceMemory.Bytes != 0)
            {
                machine.Hotplug.AddDeviceMemory(machine.GetNode(spec.DeviceNode), machine.Hotplug.DeviceStart, spec.DeviceMemory.Pages);
            }

            foreach ((string name, string text) in spec.Sysctls)
            {
                machine.Settings.Set(name, text);
            }

            foreach ((string name, string value) in spec.CommandLine.ZswapParameters)
            {
                Errno refused = machine.Swap.Zswap.Write(name, value);
                if (refused != Errno.None)
                {
                    machine.Warnings = [.. machine.Warnings, $"zswap.{name}={value} has no effect here: {refused}"];
                }
            }

            if (spec.Twin is { FreeBlocks: { } recorded } twin)
            {
                machine.Warnings = [.. machine.Warnings, .. RecordedOccupancy.Apply(machine, recorded, twin.Captured.ZoneInfo, marks: spec.Sysctls.Count == 0)];
            }

            if (spec.CommandLine.ShufflePageAllocator)
            {
                machine.Pages.Buddy.Shuffle = new PageShuffle();
                machine.Pages.Buddy.Shuffle.ShuffleAll(machine);
            }

            foreach (Cpu cpu in machine.Cpus)
            {
                cpu.Context.UpdateMode();
            }

            ArmFaults(machine, spec.CommandLine);
            ILogger logger = machine.Bugs.LoggerFactory.CreateLogger("MemSim.Boot");
            foreach (string line in plan.BootLog)
            {
                LogBootLine(logger, line);
            }

            foreach (string warning in machine.Warnings)
            {
                LogBootWarning(logger, warning);
            }

            return machine;
        }
        catch
        {
            machine.Dispose();
            throw;
        }
    }

    /// <summary>The blueprint of a machine that starts in a state, with what the user wants of the simulation.</summary>
    private static MachineBlueprint Started(MachineBlueprint blueprint, MachineSpec spec, StartState start) => blueprint with
    {
        HasContents = spec.HasContents,
        HostMemory = spec.HostMemory,
        Parallel = spec.ParallelCpus,
        TracksOwners = spec.PageOwner,
        BugPolicy = spec.BugPolicy,
        Warnings = [.. spec.Warnings, .. start.Warnings],
        LoggerFactory = spec.LoggerFactory ?? NullLoggerFactory.Instance,
    };

    private static MachineBlueprint Blueprint(BootPlan plan)
    {
        MachineSpec spec = plan.Spec;
        int[] cpuNodes = new int[plan.PossibleCpus];
        foreach (BootNode node in plan.Nodes)
        {
            foreach (int cpu in node.Cpus)
            {
                if (cpu < cpuNodes.Length)
                {
                    cpuNodes[cpu] = node.Id;
                }
            }
        }

        foreach (CpuLayout cpu in spec.Twin?.Captured.Layout.Cpus ?? [])
        {
            // CPUs of a node without memory have no zones of their own to look at: they stay where the plan put them.
            if (cpu.Cpu < cpuNodes.Length && plan.Nodes.Any(n => n.Id == cpu.Node))
            {
                cpuNodes[cpu.Cpu] = cpu.Node;
            }
        }

        List<(long Start, long End, int Node)> memory = [.. plan.Memblock.PageRanges()];
        return new MachineBlueprint
        {
            Architecture = ArchitectureInfo.Of(spec.Architecture),
            PageblockOrder = ArchitectureInfo.Of(spec.Architecture).PageblockOrder,
            Nodes = [.. plan.Nodes.Select(n => new NodeBlueprint(n.Id, Distances(plan, n.Id), n.NodeOrder))],
            CpuNodes = cpuNodes,
            Zones = [.. plan.Zones.Select(z => new ZoneBlueprint(z.Node, z.Type, z.Start.Value, z.SpannedPages, z.PresentPages, z.ManagedPages) { Ranges = RangesOf(z, memory) })],
            Reserved = ReservedRanges(plan),
            MobilityGrouping = plan.MobilityGrouping,
            MemoryModel = spec.MemoryModel,
            DeviceFrames = spec.DeviceMemory.Pages,
            HotplugFrames = spec.HotplugMemory.Pages,
            HasContents = spec.HasContents,
            HostMemory = spec.HostMemory,
            Parallel = spec.ParallelCpus,
            TracksOwners = spec.PageOwner,
            BugPolicy = spec.BugPolicy,
            Personality = spec.Personality,
            Warnings = [.. spec.Warnings, .. spec.CommandLine.WithoutEffect.Select(p => $"{p.Parameter} has no effect here: {p.Why}")],
            LoggerFactory = spec.LoggerFactory ?? NullLoggerFactory.Instance,
        };
    }

    private static int[] Distances(BootPlan plan, int node) =>
        plan.Spec.Twin is { } twin && twin.Captured.NodeDistances.TryGetValue(node, out int[]? distances) && distances.Length > plan.Nodes.Max(n => n.Id) ? distances
        : plan.Topology is { } topology ? [.. Enumerable.Range(0, plan.Nodes.Max(n => n.Id) + 1).Select(other => plan.Nodes.Any(n => n.Id == other) ? topology.Distance(node, other) : 20)] : [];

    /// <summary>The memory of a zone: the node's ranges, cut at the zone's ends.</summary>
    private static List<(long Start, long End)> RangesOf(BootZone zone, List<(long Start, long End, int Node)> memory)
    {
        List<(long Start, long End)> ranges = [];
        foreach ((long start, long end, int node) in memory)
        {
            long from = Math.Max(start, zone.Start.Value);
            long to = Math.Min(end, zone.End.Value);
            if (from < to && (node == zone.Node || node == Memblock.AnyNode))
            {
                ranges.Add((from, to));
            }
        }

        return ranges;
    }

    /// <summary>Everything in memory that is never released, but for gigantic pages, which processes will have.</summary>
    private static List<(long Start, long End)> ReservedRanges(BootPlan plan)
    {
        List<(long Start, long End)> released = [.. plan.Releases.Select(r => (r.Start.Value, r.End.Value)).Concat(plan.GiganticPages.Select(r => (r.Start.Value, r.End.Value))).OrderBy(r => r.Item1)];
        List<(long Start, long End)> reserved = [];
        int next = 0;
        foreach ((long start, long end, _) in plan.Memblock.PageRanges().OrderBy(r => r.Start))
        {
            long at = start;
            while (next < released.Count && released[next].End <= at)
            {
                next++;
            }

            for (int i = next; i < released.Count && released[i].Start < end; i++)
            {
                if (released[i].Start > at)
                {
                    reserved.Add((at, released[i].Start));
                }

                at = Math.Max(at, released[i].End);
            }

            if (at < end)
            {
                reserved.Add((at, end));
            }
        }

        return reserved;
    }

    private static void SetPageblockTypes(Machine machine, BootPlan plan)
    {
        foreach ((BootZone zone, long first, long count) in plan.UnmovablePageblocks)
        {
            Zone target = machine.GetNode(zone.Node).GetZone(zone.Type);
            for (long block = first; block < first + count; block++)
            {
                if ((ulong)(block - target.FirstPageblock) < (ulong)target.PageblockTypes.Length)
                {
                    target.PageblockTypes[block - target.FirstPageblock] = (byte)MigrateType.Unmovable;
                }
            }
        }

        if (!plan.MobilityGrouping)
        {
            foreach (Zone zone in machine.Zones)
            {
                Array.Fill(zone.PageblockTypes, (byte)MigrateType.Unmovable);
            }
        }
    }

    private static void SetCmaAreas(Machine machine, BootPlan plan)
    {
        foreach ((string name, PfnRange range) in plan.CmaAreas)
        {
            if (CmaZone(machine, plan, name, range) is not { } zone)
            {
                continue;
            }

            zone.HasCma = true;
            zone.CmaPages += range.Pages;
            for (long pfn = range.Start.Value; pfn < range.End.Value; pfn += 1L << machine.ZoneTable.PageblockOrder)
            {
                zone.SetBlockType((int)pfn, (int)MigrateType.Cma);
            }

            machine.Cma.Add(new CmaArea(machine, name, zone, range.Start.Value, range.Pages));
        }
    }

    /// <summary>The zone of an area; what is cleared in one piece must be of one zone, or the kernel does not activate the area (<c>cma_activate_area()</c>).</summary>
    /// <exception cref="ArgumentException">An area that was asked for lies in several zones.</exception>
    private static Zone? CmaZone(Machine machine, BootPlan plan, string name, PfnRange range)
    {
        Zone? owner = machine.ZoneTable.ZoneOf((int)range.Start.Value);
        for (long pfn = range.Start.Value; pfn < range.End.Value; pfn += 1L << machine.ZoneTable.PageblockOrder)
        {
            Zone? zone = machine.ZoneTable.ZoneOf((int)pfn);
            if (zone is not null && zone == owner && zone.SpansIndex(pfn + (1L << machine.ZoneTable.PageblockOrder) - 1))
            {
                continue;
            }

            // The area the kernel makes by itself is no loss: its pages stay ordinary ones.
            return name == CmaRequest.DefaultName && plan.Spec.CommandLine.Cma is null
                ? null
                : throw new ArgumentException($"contiguous memory area {name}: it starts in {owner} but pfn 0x{pfn:x} lies {(zone is null ? "in a hole" : $"in {zone}")}");
        }

        return owner;
    }

    /// <summary>Frees the planned ranges: before the initcalls straight into the free lists, afterwards page by page as any free.</summary>
    private static void Release(Machine machine, BootPlan plan, bool early)
    {
        foreach (ReleaseRange range in plan.Releases)
        {
            if ((range.Phase == ReleasePhase.AfterInitcalls) == early)
            {
                continue;
            }

            Zone zone = machine.GetNode(range.Zone.Node).GetZone(range.Zone.Type);
            Pfn rest = range.Start;
            if (range.ToTail && !machine.IsParallel)
            {
                // With CPUs in parallel somebody might read a frame while another CPU writes what was left out: there every frame is written now.
                foreach ((int first, int blocks, int type) in WholeRuns(zone, range))
                {
                    Release(machine, zone, range, ReleaseRange.SplitIntoBlocks(rest, new Pfn(first)));
                    machine.Pages.Buddy.FreeRun(zone, zone.Pcp[0], first, blocks, type);
                    rest = new Pfn(first) + ((long)blocks << PageGeometry.MaxOrder);
                }
            }

            Release(machine, zone, range, (range with { Start = rest, Pages = range.End.Value - rest.Value }).Blocks(machine.ZoneTable.PageblockOrder));
        }
    }

    private static void Release(Machine machine, Zone zone, ReleaseRange range, IEnumerable<(Pfn Start, int Order)> blocks)
    {
        Cpu cpu = machine.Cpus[0];
        foreach ((Pfn start, int order) in blocks)
        {
            int pfn = (int)start.Value;
            ref PageFrame frame = ref machine.Frames.Array[pfn];
            frame.Identity = PageFrame.FreeIdentity(zone.Id, 0);
            if (range.PageByPage)
            {
                frame.State = PageFrame.SinglePageState;
                machine.Pages.FreeBlock(cpu, pfn, order);
            }
            else
            {
                machine.Pages.Buddy.Free(zone, zone.Pcp[0], pfn, order, zone.BlockType(pfn), range.ToTail);
            }
        }
    }

    /// <summary>The runs of at least three blocks of the largest order in a range whose page blocks are all of one type, ascending.</summary>
    private static IEnumerable<(int First, int Blocks, int Type)> WholeRuns(Zone zone, ReleaseRange range)
    {
        const int size = 1 << PageGeometry.MaxOrder;
        long first = (range.Start.Value + size - 1) & -size;
        long end = range.End.Value & -size;
        while (first < end)
        {
            int from = (int)((first >> zone.PageblockOrder) - zone.FirstPageblock);
            int to = (int)((end >> zone.PageblockOrder) - zone.FirstPageblock);
            byte type = zone.PageblockTypes[from];
            int same = zone.PageblockTypes.AsSpan(from, to - from).IndexOfAnyExcept(type);
            long stop = same < 0 ? end : first + ((long)same << zone.PageblockOrder & -size);
            int blocks = (int)((stop - first) >> PageGeometry.MaxOrder);
            if (blocks >= 3)
            {
                yield return ((int)first, blocks, type);
            }

            first = blocks == 0 ? first + size : stop;
        }
    }

    private static void ComputeSettings(Machine machine, BootPlan plan)
    {
        if (plan.Spec.Twin is { } twin)
        {
            machine.Settings.TakeOver(twin.HugePages, twin.Sysctls, twin.Captured.Layout, twin.Figures, twin.Captured.BootLayout);
            return;
        }

        TransparentHugePages asked = plan.Spec.CommandLine.TransparentHugePage switch
        {
            "never" => TransparentHugePages.Never,
            "madvise" => TransparentHugePages.Madvise,
            _ => TransparentHugePages.Always,
        };
        machine.Settings.ComputeAtBoot(asked, zone => plan.Zones.FirstOrDefault(z => z.Node == zone.Node.Id && z.Type == zone.Type)?.InitcallManagedPages ?? 0);
    }

    /// <summary>Rules of fault injection that the command line names. The boot itself is spared: what it asks for may not fail.</summary>
    private static void ArmFaults(Machine machine, KernelCommandLine line)
    {
        foreach (FaultRule? rule in (FaultRule?[])[line.FailPageAlloc, line.FailSlab, line.FailUsercopy])
        {
            if (rule is not null)
            {
                machine.Hooks.FaultInjector.Arm(rule);
            }
        }
    }

    private static void CountUntracked(Machine machine, long[] taken)
    {
        foreach (Zone zone in machine.Zones)
        {
            zone.UntrackedPages = zone.PagesOnNoList - machine.Hugetlb.PooledPagesIn(zone) - taken[zone.Id];
        }
    }

    [LoggerMessage(EventId = 30, Level = LogLevel.Debug, Message = "{Line}")]
    private static partial void LogBootLine(ILogger logger, string line);

    [LoggerMessage(EventId = 31, Level = LogLevel.Warning, Message = "{Warning}")]
    private static partial void LogBootWarning(ILogger logger, string warning);
}
