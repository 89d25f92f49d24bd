using MemSim.Boot;
using MemSim.Cgroups;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Lru;
using MemSim.Observability;
using MemSim.PageAllocation;
using MemSim.Pages;
using MemSim.Zones;
using Microsoft.Extensions.Logging;

namespace MemSim;

/// <summary>A simulated computer with the memory manager of a Linux kernel: nodes, zones, CPUs and the allocators.</summary>
/// <remarks>
/// A machine has no state outside itself: the same calls give the same frames, always. Dispose it to give the host memory back; using it afterwards throws
/// <see cref="ObjectDisposedException"/>.
/// </remarks>
public sealed partial class Machine : IDisposable
{
    private readonly long _deviceStart;

    internal Machine(MachineBlueprint blueprint)
    {
        Personality = blueprint.Personality;
        Architecture = blueprint.Architecture;
        PageblockOrder = blueprint.PageblockOrder;
        WatermarkBoostFactor = blueprint.WatermarkBoostFactor;
        _parallel = blueprint.Parallel;
        Callouts = new Callouts(_parallel, () => string.Concat(_cpus.Select(cpu => cpu.Drivers?.Describe())));
        OwnersLock = new OwnersLock(this);
        FaultInjector = new FaultInjector(this);
        FaultInjection = new FaultInjection(this);
        Leaks = new LeakDetector(this);
        _refusesIllegalFlags = blueprint.RefusesIllegalFlags;
        _reserved = [.. blueprint.Reserved];
        LoggerFactory = blueprint.LoggerFactory;
        HostMemory = blueprint.HostMemory;
        ILogger logger = blueprint.LoggerFactory.CreateLogger("MemSim");
        Bugs = new BugReporter(this, logger, blueprint.BugPolicy);
        FailureReports = new FailureReports(this, logger);
        Proc = new ProcFs(this);
        Reclaimer = NoReclaim.Instance;
        Memory = new MachineMemory(this);
        Processes = new MachineProcesses(this);
        Sysctl = new MachineSysctl(this);
        Reclaim = new MachineReclaim(this);
        Compaction = new MachineCompaction(this);
        Cma = new MachineCma(this);
        Migration = new MachineMigration(this);
        Oom = new MachineOom(this);
        Reports = new MachineReports(this);
        Background = new MachineBackground(this);
        Tracing = new MachineTracing(this);
        Files = new MachineFiles(this);
        Hotplug = new MachineHotplug(this);

        foreach (NodeBlueprint node in blueprint.Nodes)
        {
            _nodes.Add(new Node(node.Id));
        }

        for (int cpu = 0; cpu < blueprint.CpuNodes.Count; cpu++)
        {
            _cpus.Add(new Cpu(this, cpu, GetNode(blueprint.CpuNodes[cpu])));
        }

        int zoneCount = blueprint.Nodes.Count * Architecture.ZoneTypes.Count;
        if (zoneCount > 256)
        {
            throw new ArgumentException($"{blueprint.Nodes.Count} nodes with {Architecture.ZoneTypes.Count} zones each are more than the 256 zones a machine can have");
        }

        long endPfn = blueprint.Zones.Select(z => z.StartPfn + z.SpannedPages).DefaultIfEmpty(1).Max();
        _deviceStart = (endPfn + MemoryMapCost.PagesPerSection - 1) / MemoryMapCost.PagesPerSection * MemoryMapCost.PagesPerSection;
        _memMap = new MemMap(blueprint.DeviceFrames == 0 ? endPfn : _deviceStart + blueprint.DeviceFrames, (zoneCount * (FreeArea.ListHeads + (_cpus.Count * PerCpuPages.Lists))) + LruManager.ListHeadsOf(_nodes.Count, HostMemory), HostMemory);
        _frames = _memMap.Array;
        Ram = new PhysicalMemory(_memMap.Frames, blueprint.HasContents, HostMemory);
        BuildZones(blueprint);
        _directMapEndPfn = _zones.Where(z => z.Type == ZoneType.HighMem && z.IsPopulated).Select(z => z.StartPfn.Value).DefaultIfEmpty(_memMap.Frames).Min();
        _directMapPhysicalBase = Architecture.Architecture == MemSim.Architecture.Arm64
            ? (ulong)_zones.Where(z => z.IsPopulated).Select(z => z.StartPfn.Value).DefaultIfEmpty(0).Min() << PageGeometry.PageShift & ~((1UL << 30) - 1)
            : 0;
        Pages = new PageAllocator(this, _frames, blueprint.Personality.Allocator);
        BuildZonelists(blueprint);
        MemoryModel = blueprint.MemoryModel;
        MobilityGrouping = blueprint.MobilityGrouping;
        Settings = new MachineSettings(this, blueprint.Personality);
        Warnings = blueprint.Warnings;
        OwnerTracker = blueprint.TracksOwners ? new PageOwnerTracker(this) : null;
        _tracepoints = new Tracepoints(OwnerTracker) { Changed = UpdateTrace };
        Trace = _tracepoints.IsIdle ? null : _tracepoints;
        foreach (Cpu cpu in _cpus)
        {
            cpu.Context = new CpuContext(cpu);
            cpu.User = new CpuUser(cpu);
            cpu.Files = new CpuFiles(cpu);
            cpu.Vm = new CpuVm(cpu);
            cpu.Slab = new CpuSlabCalls(cpu);
            cpu.Pages = new CpuPages(cpu);
            cpu.HighMemory = new CpuHighMemory(cpu);
            cpu.PerCpu = new CpuPerCpu(cpu);
            cpu.Mmu = new CpuTranslation(cpu);
            cpu.Dma = new CpuDma(cpu);
            cpu.Memory = new CpuMemory(cpu);
            cpu.Allocator = Pages;
            cpu.Pcp = [.. _zones.Select(z => z.Pcp[cpu.Id])];
            cpu.Zonelists = cpu.Node.Zonelists;
            cpu.Choices = FirstChoice.For(cpu.Zonelists, cpu.Pcp);
            cpu.HomePcp = cpu.Choices[0].Pcp ?? cpu.Pcp[0];
        }

        UpdateModes();
    }

    /// <summary>What was said while booting, a line each, as dmesg prints it; empty for a machine restored from a state.</summary>
    public IReadOnlyList<string> BootLog => BootPlan?.BootLog ?? [];

    /// <summary>The <c>/proc</c> files and reports about memory, in the kernel's own format.</summary>
    public ProcFs Proc { get; }

    /// <summary>The first section above RAM: where device memory is plugged in.</summary>
    internal long DeviceStart => _deviceStart;

    /// <summary>The plan the machine was booted by; null for one restored from a recorded state.</summary>
    internal BootPlan? BootPlan { get; set; }

    /// <summary>Boots a machine: plans its memory, computes its watermarks and reserves, frees what is free into the buddy lists in the real order.</summary>
    /// <param name="spec">What to boot.</param>
    /// <exception cref="ArgumentException">The description contradicts itself; the message names the value.</exception>
    public static Machine Boot(MachineSpec spec) => MachineBooter.Boot(spec);

    /// <summary>Takes a snapshot of the complete state: fork the world, try a what-if, compare.</summary>
    /// <remarks>Copies the contents of RAM that was touched. No CPU may be driven by another thread meanwhile.</remarks>
    public MachineSnapshot Snapshot()
    {
        ThrowIfDisposed();
        return MachineSnapshot.Take(this);
    }

    /// <summary>Checks every invariant of the machine: lists, counters, flags, that no two blocks overlap and that no page is lost.</summary>
    /// <remarks>Costs a walk over every frame: for tests, after everything. No CPU may be driven by another thread meanwhile.</remarks>
    /// <exception cref="KernelBugException">Something is inconsistent; the message names the first thing found.</exception>
    public void Verify()
    {
        ThrowIfDisposed();
        new StateVerifier(this).Verify();
        VerifySlab();
        PerCpu.Verify();
        _mmu?.Verify();
        if (_vmalloc is { WasUsed: true })
        {
            _vmalloc.Verify();
        }

        Files.Verify();
        Lru.Verify();
        CgroupVerifier.Verify(this);
        if (Swap.WasUsed)
        {
            // Until then tests and captures say how much swap there is.
            Swap.Verify();
        }

        Compaction.Verify();
        Cma.Verify();
        VerifyHighMemory();
        Mm?.Verify();
        VerifyTasks();
        Hugetlb.VerifyPools();
        _stacks?.Verify();
        if (Reclaimer is not NoReclaim)
        {
            // Zones of a recorded state may say that the recorded kernel was reclaiming.
            Vmscan.Verify();
        }
    }

    /// <summary>Gives the machine's host memory back.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        foreach (Cpu cpu in _cpus)
        {
            cpu.UpdateMode();
            cpu.DetachSlab();
            cpu.DetachMmu();
        }

        foreach (Zone zone in _zones)
        {
            zone.IsDisposed = true;
        }

        _memMap.Discard();
        Ram.Discard();
        Callouts.Dispose();
    }

    private void BuildZones(MachineBlueprint blueprint)
    {
        foreach (Node node in _nodes)
        {
            node.Distances = Distances(blueprint, node);
            for (int index = 0; index < Architecture.ZoneTypes.Count; index++)
            {
                ZoneType type = Architecture.ZoneTypes[index];
                Zone zone = new(node, type, index, _zones.Count, PageblockOrder, _frames, _memMap.TakeListHeads(FreeArea.ListHeads), blueprint.Personality.Allocator)
                {
                    Reserve = new long[Architecture.ZoneTypes.Count],
                };
                ZoneBlueprint? plan = blueprint.Zones.FirstOrDefault(z => z.Node == node.Id && z.Type == type);
                if (plan is not null)
                {
                    zone.StartPfn = new Pfn(plan.StartPfn);
                    zone.SpannedPages = plan.SpannedPages;
                    zone.PresentPages = plan.PresentPages;
                    zone.ManagedPages = plan.ManagedPages;
                    zone.FirstPageblock = plan.StartPfn >> PageblockOrder;
                    zone.PageblockTypes = new byte[PageblocksTouched(plan)];
                    Array.Fill(zone.PageblockTypes, (byte)MigrateType.Movable);
                    foreach ((long start, long end) in plan.Ranges.Count != 0 ? plan.Ranges : [(plan.StartPfn, plan.StartPfn + plan.SpannedPages)])
                    {
                        _presentRanges.Add(new PresentRange(start, end, zone));
                    }
                }

                zone.Pcp = [.. _cpus.Select(cpu => new PerCpuPages(zone, cpu.Id, cpu.Node == node, _frames, _memMap.TakeListHeads(PerCpuPages.Lists)))];
                _zones.Add(zone);
                node.Add(zone);
            }

            foreach (Cpu cpu in _cpus.Where(c => c.Node == node))
            {
                node.Add(cpu);
            }
        }

        _presentRanges.Sort((a, b) => a.Start.CompareTo(b.Start));
    }

    private long PageblocksTouched(ZoneBlueprint plan) =>
        plan.SpannedPages == 0 ? 0 : ((plan.StartPfn + plan.SpannedPages - 1) >> PageblockOrder) - (plan.StartPfn >> PageblockOrder) + 1;

    private static int[] Distances(MachineBlueprint blueprint, Node node)
    {
        IReadOnlyList<int> given = blueprint.Nodes.First(n => n.Id == node.Id).Distances;
        int highest = blueprint.Nodes.Max(n => n.Id);
        int[] distances = new int[highest + 1];
        for (int i = 0; i <= highest; i++)
        {
            distances[i] = i < given.Count ? given[i] : i == node.Id ? 10 : 20;
        }

        return distances;
    }

    private void BuildZonelists(MachineBlueprint blueprint)
    {
        foreach (Node node in _nodes)
        {
            node.FallbackOrder = blueprint.Nodes.First(n => n.Id == node.Id).FallbackOrder;
            node.Zonelists = new Zonelist[16];
            node.ThisNodeZonelists = new Zonelist[16];
            Node[] near = [.. node.FallbackOrder.Select(GetNode)];
            for (int bits = 0; bits < 16; bits++)
            {
                bool illegal = _refusesIllegalFlags && GfpZones.IsIllegal((Gfp)bits);
                int highest = GfpZones.HighestZoneIndex((Gfp)bits, Architecture);
                node.Zonelists[bits] = MakeZonelist(near, highest, illegal);
                node.ThisNodeZonelists[bits] = MakeZonelist([node], highest, illegal);
            }
        }
    }

    private Zonelist MakeZonelist(IEnumerable<Node> nodes, int highest, bool illegal)
    {
        Zone[] zones = illegal ? [] : [.. nodes.SelectMany(n => n.Zones.Reverse()).Where(z => z.Index <= highest && z.ManagedPages != 0 && z.Type != ZoneType.Device)];
        return new Zonelist(zones, highest, illegal, zones.Length != 0 && AvoidsFragmentation(zones[0]));
    }

    /// <summary>6.1 prefers another zone to mixing types only where DMA32 lies below Normal; on several nodes only when the node has it.</summary>
    private bool AvoidsFragmentation(Zone preferred) =>
        preferred.Type == ZoneType.Normal && Architecture.IndexOf(ZoneType.Dma32) >= 0
        && (_nodes.Count == 1 || preferred.Node.GetZone(ZoneType.Dma32).IsPopulated);
}
