using MemSim.BlockDevices;
using MemSim.Boot;
using MemSim.Cgroups;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Lru;
using MemSim.Observability;
using MemSim.PageAllocation;
using MemSim.Pages;
using MemSim.Slab;
using MemSim.VirtualMemory;
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
    internal Machine(MachineBlueprint blueprint)
    {
        Personality = blueprint.Personality;
        Architecture = blueprint.Architecture;
        IsParallel = blueprint.Parallel;
        Interleaver = blueprint.Interleaver;
        Warnings = blueprint.Warnings;
        CpuTable = new CpuTable(this);
        Callouts = new Callouts(IsParallel, () => string.Concat(Cpus.Select(cpu => cpu.Context.Drivers?.Describe())));
        OwnersLock = new OwnersLock(this);
        ILogger logger = blueprint.LoggerFactory.CreateLogger("MemSim");
        Bugs = new BugReporter(this, blueprint.LoggerFactory, logger, blueprint.BugPolicy);
        ZoneTable = new ZoneTable(this, blueprint.PageblockOrder, blueprint.MobilityGrouping, blueprint.RefusesIllegalFlags) { WatermarkBoostFactor = blueprint.WatermarkBoostFactor };
        Proc = new ProcFs(this);
        FaultInjection = new FaultInjection(this);
        Leaks = new LeakDetector(this);
        Memory = new MachineMemory(this);
        Processes = new MachineProcesses(this);
        Sysctl = new MachineSysctl(this);
        Reclaim = new MachineReclaim(this);
        Compaction = new MachineCompaction(this);
        Cma = new MachineCma(this);
        Migration = new MachineMigration(this);
        Oom = new MachineOom();
        Reports = new MachineReports(this);
        Background = new MachineBackground(this);
        Tracing = new MachineTracing(this);
        Files = new MachineFiles(this);
        DeviceWaits = new DeviceWaits(this);
        _timekeeping = new Timekeeping(this);

        foreach (NodeBlueprint node in blueprint.Nodes)
        {
            ZoneTable.Add(new Node(node.Id));
        }

        for (int cpu = 0; cpu < blueprint.CpuNodes.Count; cpu++)
        {
            CpuTable.Add(new Cpu(this, cpu, GetNode(blueprint.CpuNodes[cpu])));
        }

        int zoneCount = blueprint.Nodes.Count * Architecture.ZoneTypes.Count;
        if (zoneCount > 256)
        {
            throw new ArgumentException($"{blueprint.Nodes.Count} nodes with {Architecture.ZoneTypes.Count} zones each are more than the 256 zones a machine can have");
        }

        long endPfn = blueprint.Zones.Select(z => z.StartPfn + z.SpannedPages).DefaultIfEmpty(1).Max();
        long deviceStart = (endPfn + MemoryMapCost.PagesPerSection - 1) / MemoryMapCost.PagesPerSection * MemoryMapCost.PagesPerSection;
        Hotplug = new MachineHotplug(this, deviceStart);
        HostMemory host = blueprint.HostMemory;
        long frameEnd = Math.Max(blueprint.DeviceFrames == 0 ? endPfn : deviceStart + blueprint.DeviceFrames, blueprint.LeastFrames);
        Hotplug.Memory.SetRoom(endPfn, frameEnd, blueprint.HotplugFrames);
        MemMap map = new(blueprint.HotplugFrames == 0 ? frameEnd : Hotplug.Memory.RoomEnd, (zoneCount * (FreeArea.ListHeads + (Cpus.Count * PerCpuPages.Lists))) + LruManager.ListHeadsOf(Nodes.Count, host), host);
        Frames = new FrameTable(this, map, blueprint.MemoryModel, blueprint.Reserved);
        Ram = new PhysicalMemory(map.Frames, blueprint.HasContents, host);
        ZoneBuilder builder = new(this, blueprint);
        builder.BuildZones();
        Addresses = new PageAddresses(
            Architecture.PageOffset,
            Zones.Where(z => z.Type == ZoneType.HighMem && z.IsPopulated).Select(z => z.StartPfn.Value).DefaultIfEmpty(map.Frames).Min(),
            Architecture.Architecture == MemSim.Architecture.Arm64
                ? (ulong)Zones.Where(z => z.IsPopulated).Select(z => z.StartPfn.Value).DefaultIfEmpty(0).Min() << PageGeometry.PageShift & ~((1UL << 30) - 1)
                : 0);
        Hooks = new AllocatorHooks(this, new FailureReports(this, logger), blueprint.TracksOwners ? new PageOwnerTracker(this) : null);
        Pages = new PageAllocator(this, map.Array, blueprint.Personality.Allocator);
        builder.BuildZonelists();
        Settings = new MachineSettings(this, blueprint.Personality);
        foreach (Cpu cpu in Cpus)
        {
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
            cpu.Lists.Pcp = [.. Zones.Select(z => z.Pcp[cpu.Id])];
            ZonelistBuilder.Take(cpu);
        }

        Hooks.UpdateModes();
    }

    /// <summary>What was said while booting, a line each, as dmesg prints it; empty for a machine restored from a state.</summary>
    public IReadOnlyList<string> BootLog => BootPlan?.BootLog ?? [];

    /// <summary>The <c>/proc</c> files and reports about memory, in the kernel's own format.</summary>
    public ProcFs Proc { get; }

    /// <summary>The plan the machine was booted by; null for one restored from a recorded state.</summary>
    internal BootPlan? BootPlan { get; set; }

    /// <summary>Boots a machine: plans its memory, computes its watermarks and reserves, frees what is free into the buddy lists in the real order.</summary>
    /// <param name="spec">What to boot.</param>
    /// <exception cref="ArgumentException">The description contradicts itself; the message names the value.</exception>
    public static Machine Boot(MachineSpec spec) => MachineBooter.Boot(spec);

    /// <summary>Takes a snapshot of the complete state: fork the world, try a what-if, compare.</summary>
    /// <param name="handles">
    /// Objects of the machine that the caller holds and wants to find again in copies: open files, file systems, devices, caches, processes. <see cref="MachineSnapshot.Boot(out IReadOnlyList{object})"/> gives the copies in the same order.
    /// </param>
    /// <remarks>No CPU may be driven by another thread meanwhile.</remarks>
    /// <exception cref="ArgumentException">A handle is not an object of the library's.</exception>
    /// <exception cref="NotSupportedException">The program was built without snapshots (feature switch <c>MemSim.Snapshots</c>).</exception>
    public MachineSnapshot Snapshot(params IReadOnlyList<object> handles)
    {
        ThrowIfDisposed();
        ArgumentNullException.ThrowIfNull(handles);
        return MachineSnapshot.Take(this, handles);
    }

    /// <summary>Checks every invariant of the machine: lists, counters, flags, that no two blocks overlap and that no page is lost.</summary>
    /// <remarks>Costs a walk over every frame: for tests, after everything. No CPU may be driven by another thread meanwhile.</remarks>
    /// <exception cref="KernelBugException">Something is inconsistent; the message names the first thing found.</exception>
    public void Verify()
    {
        ThrowIfDisposed();
        try
        {
            VerifyParts();
        }
        catch (KernelBugException bug) when (bug.Kind == KernelBugKind.Corruption && Callouts.DescribeDrivers() is { Length: > 0 } drivers)
        {
            // What two host threads broke is no bug of MemSim.
            throw bug.With(drivers);
        }
    }

    private void VerifyParts()
    {
        new StateVerifier(this).Verify();
        if (Slab.IsUsed)
        {
            new SlabVerifier(Slab).Verify();
        }

        PerCpu.Verify();
        if (Ram.HasContents)
        {
            Mmu.Verify();
            Stacks.Verify();
        }

        if (Memory.VmallocOrNull is { WasUsed: true } vmalloc)
        {
            vmalloc.Verify();
        }

        Files.Verify();
        Lru.Verify();
        CgroupVerifier.Verify(this);
        Swap.CompressedPools.Verify();
        if (Swap.WasUsed)
        {
            // Until then tests and captures say how much swap there is.
            Swap.Verify();
            Swap.Zswap.Verify();
        }

        Compaction.Verify();
        Cma.Verify();
        Memory.Kmaps?.Verify();
        foreach (Cpu cpu in Cpus)
        {
            cpu.HighMemory.VerifyMappings();
        }

        if (Mm is { } spaces)
        {
            spaces.Verify();
            new MmVerifier(spaces).VerifyObjects();
        }

        Ksm.Merger.Verify();
        Hugetlb.VerifyPools();
        if (Hooks.Reclaimer is not NoReclaim)
        {
            // Zones of a recorded state may say that the recorded kernel was reclaiming.
            Reclaim.Vmscan.Verify();
        }
    }

    /// <summary>Gives the machine's host memory back.</summary>
    public void Dispose()
    {
        if (IsDisposed)
        {
            return;
        }

        IsDisposed = true;
        foreach (Cpu cpu in Cpus)
        {
            cpu.Context.UpdateMode();
            cpu.SlabPaths.Detach(cpu);
            cpu.MmuOrNull = null;
        }

        foreach (Zone zone in Zones)
        {
            zone.IsDisposed = true;
        }

        Frames.Map.Discard();
        Ram.Discard();
    }
}
