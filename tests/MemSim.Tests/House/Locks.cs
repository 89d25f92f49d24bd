namespace MemSim.Tests.House;

/// <summary>A lock of the core.</summary>
/// <param name="Lock">The field, as <c>Type.Field</c>.</param>
/// <param name="TakenBy">The one way in: <c>lock</c>, a scope's type, or the type whose methods enter and exit it.</param>
/// <param name="Guards">What it guards.</param>
/// <param name="Again">Whether who holds it may take it again.</param>
/// <param name="Tried">Whether nobody waits for it: who finds it taken goes away. Such a lock may be tried whatever is held.</param>
internal sealed record LockRow(string Lock, string TakenBy, string Guards, bool Again = false, bool Tried = false);

/// <summary>The locks of <c>src/MemSim</c> in the order in which they are taken: under one only those below it.</summary>
internal static class Locks
{
    public static IReadOnlyList<LockRow> Order { get; } =
    [
        new("BackgroundTasks._running", "BackgroundTasks", "that one host thread runs the kernel threads that were woken", Again: true, Tried: true),
        new("ZoneScanners._busy", "ZoneScanners", "where compaction's two scanners of a zone are", Tried: true),
        new("ContigAllocator._lock", "LockScope", "that one contiguous range is cleared at a time"),
        new("PerCpuAllocator._lock", "PerCpuAllocator", "chunks of per-CPU memory, while their pages are asked for, too"),
        new("OwnersLock._lock", "OwnersLock.Scope", "address spaces, page tables of processes, reverse mapping, map counts and references of mapped pages, processes, promises, files and their trees, pools of huge pages", Again: true),
        new("KernelObjects._lock", "LockScope", "that the caches of kernel objects are made once"),
        new("SlabAllocator._lock", "LockScope", "which slab caches there are"),
        new("SwapSpace._lock", "LockScope", "swap areas, slots and their counts, the swap cache", Again: true),
        new("LruVec._lock", "LruVec", "LRU lists of a node and cgroup, their generations, `PG_lru` and `PG_active` of their pages"),
        new("VmallocAllocator._lock", "LockScope", "areas of vmalloc, and those to be freed later", Again: true),
        new("PersistentKmaps._lock", "PersistentKmaps", "slots of the window of `kmap()`; who finds none sleeps and lets go of it"),
        new("PageTables._lock", "LockScope", "tables of one set of page tables; not held while a frame for one is asked for", Again: true),
        new("CpuMmu._inside", "CpuMmu", "a CPU's TLBs: an access is inside, and so is who makes the CPU forget an entry"),
        new("SheafCache._lock", "lock", "which sheaves a cache has, those that wait or are lent, and what was counted"),
        new("SheafBarn._lock", "SheafBarn", "a node's full and empty sheaves"),
        new("ClassicNode.Lock", "ClassicSlab", "slabs and shared arrays of a node (SLAB); of two nodes the lower number first", Again: true),
        new("SlubNode.Lock", "Slub", "partial slabs of a node (SLUB)"),
        new("SlabPage.LockWord", "Slub", "free list and counts of a slab"),
        new("SlabMemory._lock", "SlabMemory", "space for free lists that do not fit beside their slab"),
        new("PerCpuPages.Lock", "PageAllocator", "a CPU's pages of a zone"),
        new("Zone.Lock", "Zone", "free lists, page blocks, capture"),
    ];

    /// <summary>Locks that are taken last: under them none other is.</summary>
    public static IReadOnlyList<LockRow> Last { get; } =
    [
        new("BackgroundTasks._woken", "lock", "kernel threads that were woken"),
        new("Callouts._growing", "lock", "that the array of what host threads are in the middle of grows once at a time"),
        new("CgroupTree._objects", "lock", "which cgroup an object is charged to"),
        new("ClassicCache._freelists", "lock", "where free lists lie that are kept outside of their slab (SLAB)"),
        new("CmaArea._lock", "lock", "which pages of an area are taken", Again: true),
        new("CpuLruBatches._lock", "CpuLruBatches", "pages that a CPU has still to put on, or move between, LRU lists"),
        new("FaultInjector._lock", "lock", "rules that let allocations fail"),
        new("FtraceTextSink._lock", "lock", "the text of a trace"),
        new("KernelStacks._lock", "LockScope", "which stacks tasks have"),
        new("LruObjectCache._lock", "lock", "objects by key, and the unused ones"),
        new("MappingTable._lock", "lock", "numbers of owners"),
        new("Mempool._lock", "lock", "a pool's reserve"),
        new("Mmu._registry", "lock", "which page tables there are, their numbers"),
        new("Mmu._stale", "lock", "reports of stale TLB entries"),
        new("ObjectOwnerTracker._lock", "lock", "who allocated objects"),
        new("PageAges._making", "lock", "that the table of generations is made once"),
        new("PageOwnerTracker._lock", "lock", "who allocated pages"),
        new("PageReclaim._controls", "lock", "what passes over the lists lend"),
        new("PressureLevels._lock", "lock", "who watches the pressure of a cgroup, and what was scanned since the last look"),
        new("PressureStall._lock", "lock", "stall times"),
        new("RcuFrees._lock", "lock", "objects that wait for a grace period"),
        new("SheafMemory._lock", "lock", "memory of sheaves that was given up"),
        new("SlabAllocator._orders", "lock", "in which order objects of new slabs are handed out"),
        new("SlabMemory._arenas", "lock", "unmanaged memory that the finalizer frees"),
        new("SlabTracks._lock", "lock", "who allocated and freed objects of debugged caches"),
    ];

    public static IEnumerable<LockRow> All => Order.Concat(Last);

    /// <summary>Calls in the text between taking a lock and giving it back that are not made while it is held, each with the reason.</summary>
    public static IReadOnlyDictionary<(string Caller, string Called), string> NotTaken { get; } = new Dictionary<(string, string), string>
    {
        [("PersistentKmaps.Sleep", "BackgroundTasks.RunPending")] = "Only where CPUs are not parallel, and there is no lock then.",
        [("ClassicSlab.DestroyList", "SlabAllocator.Kfree")] = "In the classic slab layer that ends in ClassicSlab.Free; only SLUB's sheaves ask for memory in a free.",
        [("CpuAccesses.EnterRun", "CpuAccesses.EnterAccess")] = "That is how the gate is entered for the caller.",
        [("SwapSpace.TryReclaimSlot", "LruManager.Put")] = "A page in the swap cache is a small one: its last reference asks no owner.",
    };
}
