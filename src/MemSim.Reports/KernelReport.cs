namespace MemSim.Reports;

/// <summary>What kind of report a kernel wrote.</summary>
public enum ReportKind
{
    /// <summary>A request for pages failed (<c>page allocation failure</c>, SLUB's and no-MMU's complaints).</summary>
    AllocationFailure,

    /// <summary>The OOM killer of the whole machine.</summary>
    Oom,

    /// <summary>The OOM killer of a memory cgroup.</summary>
    MemcgOom,

    /// <summary>The state of memory without a request (SysRq-M).</summary>
    State,

    /// <summary>Something else about memory: vmalloc, CMA.</summary>
    Other,
}

/// <summary>Which line a report began with.</summary>
public enum ReportHead
{
    /// <summary>None: the beginning is cut off.</summary>
    Missing,

    /// <summary><c>page allocation failure</c>.</summary>
    PageAllocationFailure,

    /// <summary><c>page allocation stalls for 10273ms</c>: the request has not failed, it waits (4.9 to 4.14).</summary>
    Stall,

    /// <summary><c>invoked oom-killer</c>.</summary>
    OomKiller,

    /// <summary><c>vmalloc error</c>, <c>vmap allocation for size ... failed</c> or <c>vmalloc: allocation failure</c>.</summary>
    Vmalloc,

    /// <summary><c>Allocation of length N from process ... failed</c> of a machine without MMU.</summary>
    NoMmu,

    /// <summary><c>SLUB: Unable to allocate memory on node</c>.</summary>
    Slub,

    /// <summary><c>SysRq : Show Memory</c> or a bare <c>Mem-Info:</c>.</summary>
    ShowMemory,

    /// <summary><c>cma: alloc failed</c>.</summary>
    Cma,

    /// <summary>Only what the OOM killer says at the end.</summary>
    KilledProcess,
}

/// <summary>One report as read from a log: what the lines say, nothing computed. Sizes keep the report's units, which names tell.</summary>
public sealed class KernelReport
{
    /// <summary>The kind of report.</summary>
    public ReportKind Kind { get; internal set; } = ReportKind.State;

    /// <summary>The line it began with.</summary>
    public ReportHead Head { get; internal set; }

    /// <summary>Number of its first line in the file, from 1.</summary>
    public long Line { get; internal set; }

    /// <summary>Number of its last line.</summary>
    public long LastLine { get; internal set; }

    /// <summary>The kernel's release as printed, e.g. <c>5.19.0-1-amd64</c>; null where no line tells.</summary>
    public string? Release { get; internal set; }

    /// <summary>The kernel's version; null where no line tells.</summary>
    public KernelRelease? Version { get; internal set; }

    /// <summary>The stable release a distribution built its kernel from, where that is newer than the release says; null otherwise.</summary>
    public KernelRelease? BuildVersion { get; internal set; }

    /// <summary>Whether it was made of /proc files: its flags are somebody's question, not the kernel's words.</summary>
    internal bool IsFromProc { get; set; }

    /// <summary>What only files of /proc of some kernels have.</summary>
    internal HashSet<string> ProcSigns { get; } = new(StringComparer.Ordinal);

    /// <summary>Whether the reserves are called protections (2.6.7 to 2.6.10).</summary>
    internal bool HasProtections { get; set; }

    /// <summary>The oldest kernel that uses the words of the head; null where they tell nothing.</summary>
    internal KernelRelease? OldestHint { get; set; }

    /// <summary>The first kernel that does not use the words of the head any more.</summary>
    internal KernelRelease? NewestHint { get; set; }

    /// <summary>The kernel that another line of the same log names, where this report names none.</summary>
    internal (string Release, KernelRelease Version)? NearbyKernel { get; set; }

    /// <summary>Whether a person asked for the OOM kill (SysRq-F).</summary>
    internal bool IsByHand { get; set; }

    /// <summary>How long a stalled request had waited, in milliseconds; null for other reports.</summary>
    public long? WaitedMilliseconds { get; internal set; }

    /// <summary>What the complaint of the contiguous allocator says; null for other reports.</summary>
    public CmaFailure? Cma { get; internal set; }

    /// <summary>Name of the task that asked; null where no line tells.</summary>
    public string? Task { get; internal set; }

    /// <summary>CPU that asked; null where no line tells.</summary>
    public int? Cpu { get; internal set; }

    /// <summary>log2 of the pages asked for; null where no line tells, -1 as printed for an OOM kill asked for by SysRq-F.</summary>
    public int? Order { get; internal set; }

    /// <summary>Bytes asked for, where the head tells bytes instead of an order.</summary>
    public long? RequestBytes { get; internal set; }

    /// <summary>The flags; null where no line tells.</summary>
    public GfpReading? Gfp { get; internal set; }

    /// <summary>Nodes a memory policy allows, as printed; null for all of them.</summary>
    public string? NodeMask { get; internal set; }

    /// <summary>Nodes the cpuset allows, as printed; null where no line tells.</summary>
    public string? MemsAllowed { get; internal set; }

    /// <summary>Name of the cpuset; null where no line tells.</summary>
    public string? Cpuset { get; internal set; }

    /// <summary>What <c>oom-kill:</c> calls the constraint, e.g. <c>CONSTRAINT_MEMCG</c>; null where no line tells.</summary>
    public string? Constraint { get; internal set; }

    /// <summary>The zones, in the order of the report.</summary>
    public IList<ReportedZone> Zones { get; } = new List<ReportedZone>();

    /// <summary>Totals after <c>Mem-Info:</c> by the kernel's name, in pages.</summary>
    public IDictionary<string, long> Totals { get; } = new Dictionary<string, long>(StringComparer.Ordinal);

    /// <summary>Figures of each node by the kernel's name, in KiB.</summary>
    public IDictionary<int, IDictionary<string, long>> Nodes { get; } = new SortedDictionary<int, IDictionary<string, long>>();

    /// <summary>Figures of the closing lines: <c>swap free</c>, <c>swap total</c>, <c>hugetlb</c> and <c>hugetlb free</c> (the pools of huge pages together, and what of them nobody uses) in KiB; <c>ram</c>, <c>highmem</c>, <c>reserved</c>, <c>cma reserved</c>, <c>pagecache</c>, <c>swap cache</c> in pages.</summary>
    public IDictionary<string, long> Closing { get; } = new Dictionary<string, long>(StringComparer.Ordinal);

    /// <summary>What <c>/proc/meminfo</c> says where somebody pasted it behind, in KiB.</summary>
    public IDictionary<string, long> MemInfo { get; } = new Dictionary<string, long>(StringComparer.Ordinal);

    /// <summary>The memory cgroup, for its OOM killer.</summary>
    public ReportedCgroup? Cgroup { get; internal set; }

    /// <summary>The tasks of the table, the largest ones first; at most <see cref="MaxTasks"/>.</summary>
    public IList<ReportedTask> Tasks { get; } = new List<ReportedTask>();

    /// <summary>How many rows the task table had.</summary>
    public int TaskRows { get; internal set; }

    /// <summary>Slab caches of <c>Unreclaimable slab info:</c>, in KiB used and total.</summary>
    public IList<(string Name, long UsedKiB, long TotalKiB)> SlabCaches { get; } = new List<(string, long, long)>();

    /// <summary>Who was killed; null where no line tells.</summary>
    public ReportedTask? Victim { get; internal set; }

    /// <summary>Requests for a slab that failed as well, as SLUB says.</summary>
    public IList<SlabFailure> SlabFailures { get; } = new List<SlabFailure>();

    /// <summary>Whether lines about pools of huge pages were there; null where the place at which they stand is not.</summary>
    public bool? HasHugePages { get; internal set; }

    /// <summary>Reports the kernel kept to itself before this one (<c>callbacks suppressed</c>).</summary>
    public long Suppressed { get; internal set; }

    /// <summary>Whether marks of cut lines (<c>...</c>, <c>--</c>, dropped messages) are inside.</summary>
    public bool IsCut { get; internal set; }

    /// <summary>Lines left out because another report was written at the same time and nothing in them tells whose they are.</summary>
    public int MixedLines { get; internal set; }

    /// <summary>First line of the other report that the lines left out may be of.</summary>
    internal long? MixedWith { get; set; }

    /// <summary>Zones whose lines are among those left out.</summary>
    internal HashSet<(int Node, string Name)> MixedZones { get; } = [];

    /// <summary>Names of functions of the call trace, innermost first; at most 64.</summary>
    public IList<string> CallTrace { get; } = new List<string>();

    /// <summary>What the reader noticed, a sentence each.</summary>
    public IList<string> Notes { get; } = new List<string>();

    /// <summary>Numbers of lines inside the report that were not understood; at most <see cref="MaxUnknownLines"/>.</summary>
    public IList<long> UnknownLines { get; } = new List<long>();

    /// <summary>The most tasks kept.</summary>
    public const int MaxTasks = 64;

    /// <summary>The most numbers of unknown lines kept.</summary>
    public const int MaxUnknownLines = 4096;

    /// <summary>Size of a page in KiB, told by the columns of the free lists or by figures that are printed in both units; null where nothing tells.</summary>
    public int? PageSizeKiB => PageSize.Of(this);

    /// <summary>Tries a zone by node and name.</summary>
    internal ReportedZone? Zone(int node, string name)
    {
        foreach (ReportedZone zone in Zones)
        {
            if (zone.Node == node && zone.Name == name)
            {
                return zone;
            }
        }

        return null;
    }
}

/// <summary>One zone of a report.</summary>
/// <param name="node">Its node; 0 where the kernel is built for one.</param>
/// <param name="name">Its name as printed.</param>
public sealed class ReportedZone(int node, string name)
{
    /// <summary>Its node; 0 where the kernel is built for one.</summary>
    public int Node { get; } = node;

    /// <summary>Its name as printed: <c>DMA</c>, <c>DMA32</c>, <c>Normal</c>, <c>HighMem</c>, <c>Movable</c>, ...</summary>
    public string Name { get; } = name;

    /// <summary>The figures of its line by the kernel's name (<c>free</c>, <c>min</c>, <c>managed</c>, ...), in KiB; empty where the line is missing.</summary>
    public IDictionary<string, long> Figures { get; } = new Dictionary<string, long>(StringComparer.Ordinal);

    /// <summary>The numbers of <c>lowmem_reserve[]</c> (or <c>protections[]</c>), in pages; null where the line is missing.</summary>
    public IReadOnlyList<long>? LowmemReserve { get; internal set; }

    /// <summary>The free blocks by order; null where the line is missing, empty where it says so.</summary>
    public IReadOnlyList<FreeBlocks>? Blocks { get; internal set; }

    /// <summary>What the line of the free lists gives as its sum, in KiB.</summary>
    public long? ListTotalKiB { get; internal set; }

    /// <summary>Whether the line of the free lists ends before its sum: of larger orders nothing is known.</summary>
    public bool BlocksAreCut => Blocks is not null && ListTotalKiB is null;

    /// <summary>What the kernel says to <c>all_unreclaimable?</c>.</summary>
    public bool? AllUnreclaimable { get; internal set; }

    /// <summary>Pages of free blocks by order and migrate type, where <c>/proc/pagetypeinfo</c> told; types by the letters of reports.</summary>
    public IReadOnlyDictionary<char, long[]>? BlocksByType { get; internal set; }

    /// <summary>Pages in per-CPU lists, summed; null where no line tells.</summary>
    public long? PerCpuPages { get; internal set; }

    /// <summary>A figure in KiB, or null.</summary>
    /// <param name="figure">The kernel's name.</param>
    public long? KiB(string figure) => Figures.TryGetValue(figure, out long value) ? value : null;

    /// <summary>Whether the zone has no memory.</summary>
    public bool IsEmpty => KiB("managed") == 0 || KiB("present") == 0 || (KiB("free") == 0 && KiB("high") == 0 && KiB("present") is null && Blocks is { Count: 0 } && ListTotalKiB == 0) || (Figures.Count == 0 && Blocks is { Count: 0 } && ListTotalKiB == 0);

    /// <summary>The name with its node.</summary>
    public override string ToString() => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"Node {Node} {Name}");
}

/// <summary>Free blocks of one order.</summary>
/// <param name="Order">The order: the position in the line.</param>
/// <param name="KiB">Size of one block in KiB, as printed.</param>
/// <param name="Count">How many are free.</param>
/// <param name="Types">Letters of the migrate types among them (<c>U</c>, <c>M</c>, <c>E</c>, <c>H</c>, <c>C</c>, <c>R</c>, <c>I</c>); null where the kernel prints none.</param>
public readonly record struct FreeBlocks(int Order, long KiB, long Count, string? Types);

/// <summary>One row of the task table, or a victim. Sizes in pages unless named otherwise; null where not told.</summary>
public sealed record ReportedTask
{
    /// <summary>Process id.</summary>
    public long? Pid { get; init; }

    /// <summary>Name.</summary>
    public string Name { get; init; } = "";

    /// <summary>Resident pages.</summary>
    public long? RssPages { get; init; }

    /// <summary>Pages in swap.</summary>
    public long? SwapPages { get; init; }

    /// <summary>Bytes of page tables.</summary>
    public long? PageTableBytes { get; init; }

    /// <summary><c>oom_score_adj</c> (or the older <c>oom_adj</c>).</summary>
    public long? ScoreAdj { get; init; }

    /// <summary>Resident anonymous memory in KiB, from a <c>Killed process</c> line.</summary>
    public long? AnonKiB { get; init; }

    /// <summary>Resident file memory in KiB, from a <c>Killed process</c> line.</summary>
    public long? FileKiB { get; init; }

    /// <summary>Address space in KiB, from a <c>Killed process</c> line.</summary>
    public long? TotalVmKiB { get; init; }
}

/// <summary>The memory cgroup whose OOM killer wrote a report.</summary>
public sealed class ReportedCgroup
{
    /// <summary>The group whose limit was hit; null where no line tells.</summary>
    public string? Path { get; internal set; }

    /// <summary>The group of the victim; null where no line tells.</summary>
    public string? TaskPath { get; internal set; }

    /// <summary>Memory used, in KiB.</summary>
    public long? UsageKiB { get; internal set; }

    /// <summary>The memory limit, in KiB.</summary>
    public long? LimitKiB { get; internal set; }

    /// <summary>Swap (or memory and swap) used, in KiB.</summary>
    public long? SwapUsageKiB { get; internal set; }

    /// <summary>The limit of swap (or of memory and swap), in KiB.</summary>
    public long? SwapLimitKiB { get; internal set; }

    /// <summary>Whether the swap figures count memory as well (cgroup v1).</summary>
    public bool SwapIncludesMemory { get; internal set; }

    /// <summary>Kernel memory used and its limit, in KiB.</summary>
    public (long UsageKiB, long LimitKiB)? Kmem { get; internal set; }

    /// <summary>Statistics by the kernel's name, in bytes.</summary>
    public IDictionary<string, long> Stat { get; } = new Dictionary<string, long>(StringComparer.Ordinal);
}

/// <summary>A contiguous range that could not be had from CMA.</summary>
/// <param name="Area">Name of the area; null before 5.16.</param>
/// <param name="Pages">Pages asked for; null where the line is cut.</param>
/// <param name="Error">The errno, e.g. -12 or -16; null where the line is cut.</param>
public sealed record CmaFailure(string? Area, long? Pages, int? Error)
{
    /// <summary>Free pages of the area; null where no line tells.</summary>
    public long? FreePages { get; init; }

    /// <summary>Its pages; null where no line tells.</summary>
    public long? TotalPages { get; init; }

    /// <summary>Pages of its largest free range; null where no line tells.</summary>
    public long? LargestRangePages { get; init; }
}

/// <summary>A slab that could not be had.</summary>
/// <param name="Line">Number of the line.</param>
/// <param name="Gfp">The flags.</param>
/// <param name="Cache">Name of the cache; null where the line is missing.</param>
/// <param name="MinOrder">Smallest order that would have done; null where the line is missing.</param>
public sealed record SlabFailure(long Line, GfpReading? Gfp, string? Cache = null, int? MinOrder = null)
{
    /// <summary>The memory cgroup whose own cache it is, where the name tells (<c>dentry(960:web)</c>, until 5.8); null otherwise.</summary>
    public string? Cgroup => Cache is { } name && name.EndsWith(')') && name.LastIndexOf('(') is >= 0 and int open && name.IndexOf(':', open) is >= 0 and int colon ? name[(colon + 1)..^1] : null;
}
