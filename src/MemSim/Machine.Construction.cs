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
        BackgroundTasks = new BackgroundTasks(this);
        TaskSwitching = new TaskSwitching();
        Fixmap = new Fixmap(this);
        AddressSpace = new KernelAddressSpace(this, options.Mmu.FiveLevels);
        _perCpu = new PerCpuAllocator(this, options.Percpu ?? KernelImage.Debian(Architecture.Architecture, Personality).Percpu);
        BuildSlab(options.Slab);
        KernelObjects = new KernelObjects(this);

        // Who has pages, and who takes them back.
        Lru = new LruManager(this, _memMap, options.Restored);
        Cgroups = new CgroupTree(this);
        Pressure = new PressureStall(Clock, AdvanceTime);
        Shrinkers = new ShrinkerList(this);
        _reclaimTracepoints.Changed = () => Shrinkers.Trace = ReclaimTrace;
        Migrator = new PageMigrator(this);
        Compactor = new Compactor(this);
        Contig = new ContigAllocator(this);
        OomKiller = new OomKiller(this);
        Vmscan = new PageReclaim(this) { OomKiller = OomKiller, Compactor = Compactor, WakeFlushers = Files.WakeFlushers };
        OwnReclaim = Vmscan;
        PageOut = Vmscan;
        Cgroups.Reclaimer = Vmscan;
        Files.Build();
        Swap = new SwapSpace(this);
        SwapWrites = Swap;
        ShmemSwap = Swap.SharedMemory;
        HugePages = new HugePageSettings(this);
        Hugetlb = new MachineHugetlb(this, options.Mmu.GigabytePages, options.DefaultHugePageSize);

        Pids = new ProcessTable(Architecture.Bits == 32);

        // What lives in the contents of RAM: page tables, and all that is mapped by them.
        if (Ram.HasContents)
        {
            PageTableFrames frames = new(this);
            _mmu = new Mmu(this, options.Mmu, frames);
            DirectMap.Build(_mmu, _cpus[0], _directMapEndPfn, _directMapPhysicalBase);
            PrepareFixedTables(_mmu);
            _vmalloc = new VmallocAllocator(this);
            Kmaps = AddressSpace.PersistentKmap is null ? null : new PersistentKmaps(this);
            HighAddresses = Kmaps;
            _stacks = new KernelStacks(this, options.Stacks, frames);
            frames.EndBoot();
            Mm = new AddressSpaces(this, ZeroPage.Take(this, frames));
            Swap.Users.Insert(0, new ProcessSwapUser(Swap));
            _mmu.FaultHandler = new PageFaultHandler(Mm);
        }

        Owners = Guarded(Mm is null ? new CacheOnlyOwners(this) : new PageOwners(Mm));
    }
}
