using MemSim.Background;
using MemSim.Boot;
using MemSim.Cma;
using MemSim.Compaction;
using MemSim.Faults;
using MemSim.KernelMemory;
using MemSim.Lru;
using MemSim.Migration;
using MemSim.Oom;
using MemSim.PageAllocation;
using MemSim.Processes;
using MemSim.Reclaim;
using MemSim.ReverseMapping;
using MemSim.Shrinkers;
using MemSim.Slab;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>The composition root: every subsystem is built here, once, in this order, when the page allocator is in its first state.</content>
/// <remarks>
/// Nothing here takes a page of the page allocator where a kernel would not: tables and stacks of the boot come from reserved frames. What is optional is switched
/// on by a call (<see cref="MachineReclaim.Enable"/>, the first process or file system) or by the description; no property makes anything.
/// </remarks>
public sealed partial class Machine
{
    internal void BuildSubsystems(SubsystemOptions options)
    {
        // What needs no memory of the machine.
        Background.Tasks = new BackgroundTasks(this);
        CpuTable.TaskSwitching = new TaskSwitching();
        Memory.Fixmap = new Fixmap(this);
        AddressSpace = new KernelAddressSpace(this, options.Mmu.FiveLevels);
        PerCpu = new PerCpuAllocator(this, options.Percpu ?? KernelImage.Debian(Architecture.Architecture, Personality).Percpu);
        Slab = new SlabAllocator(this, options.Slab);
        foreach (Cpu cpu in Cpus)
        {
            cpu.SlabPaths.Attach(cpu, Slab);
        }

        Slab.KernelObjects = new KernelObjects(this);

        // Who has pages, and who takes them back.
        Lru = new LruManager(this, Frames.Map, options.Restored, options.TracksIdlePages);
        Cgroups = new CgroupTree(this);
        Pressure = new PressureStall(Clock, AdvanceTime);
        Shrinkers = new ShrinkerList(this);
        Reclaim.Tracepoints.Changed = () => Shrinkers.Trace = Reclaim.Trace;
        Migration.Migrator = new PageMigrator(this);
        Migration.Tiers = new MemoryTiers(this);
        Migration.Balancing = new NumaBalancing(this);
        Compaction.Compactor = new Compactor(this);
        Cma.Contig = new ContigAllocator(this);
        Oom.Killer = new OomKiller(this);
        Reclaim.Vmscan = new PageReclaim(this) { OomKiller = Oom.Killer, Compactor = Compaction.Compactor, WakeFlushers = Files.WakeFlushers };
        Hooks.OwnReclaim = Reclaim.Vmscan;
        Lru.PageOut = Reclaim.Vmscan;
        Cgroups.Reclaimer = Reclaim.Vmscan;
        Cgroups.MovesMemory = Migration.MoveOutOfCpuset;
        Files.Build();
        Swap = new SwapSpace(this);
        Swap.Zswap = new Zswap(this);
        DeviceWaits.SwapWrites = Swap;
        Files.ShmemSwap = Swap.SharedMemory;
        HugePages = new HugePageSettings(this);
        Ksm = new KsmSettings(this);
        Hugetlb = new MachineHugetlb(this, options.Mmu.GigabytePages, options.DefaultHugePageSize);

        Processes.Pids = new ProcessTable(Architecture.Bits == 32);

        // What lives in the contents of RAM: page tables, and all that is mapped by them.
        if (Ram.HasContents)
        {
            PageTableFrames frames = new(this);
            Mmu = new Mmu(this, options.Mmu, frames);
            DirectMap.Build(Mmu, Cpus[0], Addresses.EndPfn, Addresses.PhysicalBase);
            FixedTables.Prepare(this);
            Memory.VmallocOrNull = new VmallocAllocator(this);
            Memory.Kmaps = AddressSpace.PersistentKmap is null ? null : new PersistentKmaps(this);
            Addresses.HighAddresses = Memory.Kmaps;
            Stacks = new KernelStacks(this, options.Stacks, frames);
            KernelMappings.Build(this);
            frames.EndBoot();
            Mm = new AddressSpaces(this, ZeroPage.Take(this, frames));
            Swap.Users.Insert(0, new ProcessSwapUser(Swap));
            Mmu.FaultHandler = new PageFaultHandler(Mm);
        }

        IPageOwners owners = Mm is null ? new CacheOnlyOwners(this) : new PageOwners(Mm);
        Lru.Owners = IsParallel ? new GuardedOwners(this, owners) : owners;
        Hotplug.CompleteFailures();
        Migration.Balancing.StartUp(options.NumaBalancing);
    }
}
