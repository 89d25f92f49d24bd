namespace MemSim.Tests.House;

/// <summary>An arrow that goes up, and why.</summary>
internal sealed record UpwardEdge(string From, string To, string Reason);

/// <summary>The rooms of <c>src/MemSim</c> from the bottom to the top: a room may use those before it, and no other but by an entry of <see cref="Upward"/>.</summary>
internal static class Rooms
{
    /// <summary>Each room with its subject, as the map in <c>docs/architecture.md</c> tells it.</summary>
    public static IReadOnlyList<(string Room, string Subject)> Map { get; } =
    [
        ("Collections", "lists that are linked through their members"),
        ("Diagnostics", "bug reports, kernel bugs, errors of input files, the guard around the user's code"),
        ("Kernels", "one file of rules for each kernel line; request flags (GFP), their text and their ages"),
        ("Hardware", "RAM (`PhysicalMemory`), memory map, NUMA, architectures, `Cpu` and its context, the clock; `Mmu`: page tables, walker, TLBs, caches, DMA ([mmu.md](mmu.md))"),
        ("Statistics", "events, figures of the whole system, pressure; who listens to tracepoints (`TraceFanOut`)"),
        ("Pages", "`PageFrame` (the stored `struct page`), `FrameArray`, `MemMap`, the handle `Page`, flags"),
        ("Zones", "`Node`, `Zone`, free lists, per-CPU lists, zonelists, watermark checks, policies, sysctls, `ReserveCalculator`"),
        ("Background", "kernel threads: woken, and run on a CPU lent for the time"),
        ("PageAllocation", "fast and slow path, buddy lists, fallback between migrate types, memblock, tracepoints of pages; `IReclaim`, the one way to ask for memory"),
        ("Slab", "caches, `kmalloc`, mempools; `Slub`, `Classic`, `Debug`; `KernelObjects`: what processes and files consist of ([slab.md](slab.md))"),
        ("KernelMemory", "kernel address space, vmalloc, kmap, fixed mappings, per-CPU memory, kernel stacks"),
        ("Shrinkers", "caches that give objects back when memory is short"),
        ("Lru", "lists of pages by age, batches, workingset shadows, the last reference of a page; `IPageOwners`"),
        ("Cgroups", "memory cgroups: tree, counters, stocks, charging, files ([containers.md](containers.md))"),
        ("BlockDevices", "disks, and the host's files as disks"),
        ("PageCache", "`FileMapping`, its tree, read-ahead, write-back ([page-cache.md](page-cache.md))"),
        ("Filesystems", "files, tmpfs, file systems on disks, devices as files"),
        ("Swap", "areas, slots, the swap cache, read-ahead ([swap.md](swap.md))"),
        ("VirtualMemory", "`MemoryDescriptor`, `Vma`, their tree, the page-table cursor, unmapping; `MapCounts`: how many map a page; `Calls`: one file for each memory call"),
        ("Faults", "what a page fault does: anonymous memory, files, copy on write"),
        ("HugePages", "transparent huge pages, khugepaged ([huge-pages.md](huge-pages.md))"),
        ("Ksm", "merging of equal pages: ksmd, its trees, `/sys/kernel/mm/ksm`"),
        ("Hugetlb", "pools of huge pages, hugetlbfs"),
        ("Processes", "tasks, pids, limits, signals, `/proc/PID` ([processes.md](processes.md))"),
        ("ReverseMapping", "who maps a page (how many do: `VirtualMemory/MapCounts`); `PageOwners` answers for all of them, `CacheOnlyOwners` where there are no processes"),
        ("Migration", "moving a page; `move_pages()` and its relatives; balancing between nodes and memory tiers ([numa.md](numa.md)); the tracepoints of all that moves pages"),
        ("CompressedMemory", "zsmalloc, zbud and the compressors; zram and zswap ([swap.md](swap.md))"),
        ("Compaction", "room for large blocks by moving pages, kcompactd ([compaction.md](compaction.md))"),
        ("Reclaim", "kswapd, direct reclaim ([reclaim.md](reclaim.md))"),
        ("Cma", "contiguous areas, ranges cleared on demand"),
        ("Hotplug", "memory blocks that go offline and come online, memory plugged in ([hotplug.md](hotplug.md))"),
        ("Oom", "who ends when nothing is left"),
        ("Captures", "files of a real machine's `/proc`, read for `MachineSpec.FromProc`"),
        ("Boot", "from a `MachineSpec` to a `BootPlan`, and from that to a machine; the command line ([boot.md](boot.md))"),
        ("Observability", "`/proc` texts, failure reports, ftrace text, metrics, explanations, restoring states, `Verify`"),
        ("Snapshots", "the state of a whole machine: written down object by object, made into another machine, kept in files"),
        (SourceUses.Facade, "`Machine`, `MachineSpec`, `MachineSnapshot`; `Machine.Construction.cs`, the composition root"),
        ("Scenarios", "processes with access patterns, run and sampled; uses what any user could ([scenarios.md](scenarios.md))"),
    ];

    public static IReadOnlyList<string> Order { get; } = [.. Map.Select(room => room.Room)];

    /// <summary>Arrows that go up, each with its reason; one that is not needed any more fails the test.</summary>
    public static IReadOnlyList<UpwardEdge> Upward { get; } =
    [
        new("Diagnostics", "Pages", "A report of misuse names the page, so that a program can look at it."),
        new("Hardware", "Pages", "Page tables map pages by their handles, as callers hold them."),
        new("Hardware", "Zones", "A CPU belongs to a node, a task has a memory policy, and page tables count as pages of a node."),
        new("Pages", "PageAllocation", "Changing the flags of a page that is free is misuse, and only the allocator knows who owned it last."),
        new("Slab", "Cgroups", "Objects that a cgroup's tasks take are charged to it."),
        new("KernelMemory", "Cgroups", "A task's stack is charged to its cgroup."),
        new("Lru", "Cgroups", "How much swap a cgroup may still use decides whether its pages age."),
        new("Cgroups", "Swap", "Slots are counted against those charged when everything is verified."),
        new("Cgroups", "Processes", "Its members are processes, which its files list, move and kill."),
        new("PageCache", "Filesystems", "A mapping belongs to an inode, and its size is the inode's."),
        new("PageCache", "Swap", "One shrinker gives back the nodes of shadows of both trees, as in the kernel, and weighs them together."),
        new("VirtualMemory", "Faults", "MAP_POPULATE takes the faults of an area in advance."),
        new("VirtualMemory", "HugePages", "Every walk over entries meets huge ones and splits, protects, copies or moves them there."),
        new("VirtualMemory", "Ksm", "Advice, fork and the end of an address space are told to ksmd, and entries map what it merged."),
        new("Faults", "Ksm", "A merged page that comes back from swap may be another process's now, and a write to the zero page may be to one that it put there."),
        new("VirtualMemory", "Hugetlb", "Areas of huge pages of a pool are areas too, and every memory call meets them."),
        new("Faults", "HugePages", "A fault first tries for a huge page."),
        new("Faults", "Hugetlb", "A fault in an area of a pool takes a page of that pool."),
        new("Faults", "Processes", "A fault that cannot be served ends in a signal to the process."),
        new("Boot", SourceUses.Facade, "The description that a boot is given, and the machine that it makes, stand beside the facade."),
        new("Boot", "Observability", "A boot may begin in a recorded state, which is restored there."),
        new("Observability", SourceUses.Facade, "Restoring a state makes a machine, and ends one that could not be restored."),
    ];

    /// <summary>Static collections that nobody changes, and why they are no frozen ones.</summary>
    public static IReadOnlyDictionary<string, string> HarmlessStatics { get; } = new Dictionary<string, string>
    {
        ["ScenarioFileStep.Fields"] = "a table of field names, filled when the type is loaded and only read",
        ["GfpText.ByName"] = "a table of flag names, filled when the type is loaded and only read",
        ["KernelCommandLine.KnownElsewhere"] = "a table of parameter names, only read",
        ["KernelCommandLine.NoEffect"] = "a table of parameter names, only read",
    };

    /// <summary>Types of more than 60 members, and why they are one type.</summary>
    public static IReadOnlyDictionary<string, string> LargeTypes { get; } = new Dictionary<string, string>
    {
        ["Cgroup"] = "struct mem_cgroup: limits, counts, events and files of one group",
        ["CgroupTree"] = "charging, stocks, objects, slots and throttling of one mechanism, a file each",
        ["Machine"] = "the facade: its public names, one a room, whose number SurfaceTests limits, and one internal property for each part it owns (frames, zones, CPUs, hooks, LRU, counters); what the parts do is theirs",
        ["CpuMmu"] = "the translation path keeps everything it looks at in one object, one indirection less an access",
        ["FileMapping"] = "struct address_space: cache, faults, write-back and truncation of one file, a file each",
        ["FtraceTextSink"] = "one method for each tracepoint of the kernel",
        ["KernelCommandLine"] = "one property for each parameter of the kernel",
        ["LruManager"] = "the lists, batches, references and workingset share the frames under one lock",
        ["MemoryDescriptor"] = "mm_struct: each memory call is a file of its own below Calls",
        ["NodeCounters"] = "one property for each counter of the kernel",
        ["PageAllocator"] = "fast path, slow path, attempts and bulk of one allocator, a file each",
        ["PageFrame"] = "struct page with a named view of each flag",
        ["PageReclaim"] = "direct reclaim, nodes, lists and advice of one mechanism, a file each",
        ["PageTables"] = "one page-table tree: slots, formats, mapping and views, a file each",
        ["PerCpuAllocator"] = "areas, population and chunks of one allocator, a file each",
        ["Process"] = "task_struct: life, limits, signals, memory calls and the files below /proc/pid, a file each",
        ["PteLayout"] = "entries of page tables as the kernel sees them: one small method for each test and change of bits",
        ["PhysicalMemory"] = "contents of RAM: reading and writing, pieces where address space is short, files for snapshots, a file each",
        ["SlabAllocator"] = "the public layer over both implementations, a file for each kind of call",
        ["SamepageMerger"] = "scan, trees, merging and self-check of ksmd, a file each",
        ["Slub"] = "fast path, bulk, debugging and self-check of one implementation, a file each",
        ["SwapArea"] = "clusters and slots of one area",
        ["SwapSpace"] = "areas, cache, read-ahead and write-out of swap, a file each",
        ["TransparentHugeMemory"] = "faults, splits, collapse and moves of huge pages, a file each",
        ["VmallocAllocator"] = "areas, pages and checks of vmalloc as each kernel line does them, a file each",
        ["Zone"] = "struct zone: the hot fields of the allocator side by side",
    };
}
