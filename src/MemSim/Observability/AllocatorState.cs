using MemSim.Kernels;

namespace MemSim.Observability;

/// <summary>The complete state of a page allocator as plain data: what a snapshot holds, what a recorded state is read into.</summary>
/// <remarks>
/// Frame numbers are absolute. Lists run from the head, the end that allocations take from. Migrate types are those of <see cref="MigrateType"/>;
/// readers of recordings made by a kernel without CMA translate their type 4 to <see cref="MigrateType.Isolate"/>.
/// </remarks>
public sealed class AllocatorState
{
    /// <summary>Where the state comes from, e.g. <c>512M-chain-1a/pre</c>; for messages only.</summary>
    public string Name { get; set; } = "";

    /// <summary>The architecture, as far as the source tells (zones and page block order do).</summary>
    public Architecture Architecture { get; set; } = Architecture.X86_64;

    /// <summary>log2 of the pages in a page block.</summary>
    public int PageblockOrder { get; set; } = PageGeometry.HugeOrder;

    /// <summary>The sysctl <c>vm.watermark_boost_factor</c>, in 1/10000 of the high watermark.</summary>
    public int WatermarkBoostFactor { get; set; } = 15000;

    /// <summary>The kernel whose rules the allocator follows.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public KernelPersonality Kernel { get; set; } = KernelLines.Linux6_1;

    /// <summary>How many migrate types the kernel that was recorded has: 5, or 6 with CMA.</summary>
    internal int MigrateTypeCount { get; set; } = 5;

    /// <summary>The sysctl <c>vm.defrag_mode</c>; null where the kernel has none.</summary>
    public bool? DefragMode { get; set; }

    /// <summary>The populated zones, in order of node and kernel zone index.</summary>
    public List<ZoneState> Zones { get; } = [];

    /// <summary>The number of CPUs whose per-CPU lists are recorded.</summary>
    public int CpuCount { get; set; } = 1;

    /// <summary>The node of each CPU; empty where the source does not tell: then all are on the node of the first zone.</summary>
    public IReadOnlyList<int> CpuNodes { get; set; } = [];

    /// <summary>By node, the nodes that its requests go through in turn; nodes left out go to themselves first and then to the others by number.</summary>
    public IReadOnlyDictionary<int, IReadOnlyList<int>> NodeFallback { get; set; } = new Dictionary<int, IReadOnlyList<int>>();
}

/// <summary>One zone of an <see cref="AllocatorState"/>. Counts and watermarks in pages.</summary>
public sealed class ZoneState
{
    /// <summary>The node the zone belongs to.</summary>
    public int Node { get; set; }

    /// <summary>The kind of zone.</summary>
    public ZoneType Type { get; set; }

    /// <summary>The first frame the zone spans.</summary>
    public long StartPfn { get; set; }

    /// <summary>Frames spanned, holes included.</summary>
    public long SpannedPages { get; set; }

    /// <summary>Frames that exist.</summary>
    public long PresentPages { get; set; }

    /// <summary>Frames given to the allocator.</summary>
    public long ManagedPages { get; set; }

    /// <summary>The min watermark, without boost.</summary>
    public long WatermarkMin { get; set; }

    /// <summary>The low watermark, without boost.</summary>
    public long WatermarkLow { get; set; }

    /// <summary>The high watermark, without boost.</summary>
    public long WatermarkHigh { get; set; }

    /// <summary>The promo watermark, without boost.</summary>
    public long WatermarkPromo { get; set; }

    /// <summary>Pages currently added to every watermark.</summary>
    public long WatermarkBoost { get; set; }

    /// <summary>Pages in blocks reserved for high-order atomic requests.</summary>
    public long ReservedHighAtomicPages { get; set; }

    /// <summary>Free pages in the lists of that reserve (<c>nr_free_highatomic</c>); null where the recording does not tell.</summary>
    public long? FreeHighAtomicPages { get; set; }

    /// <summary>The folded counter of pages in free blocks of at least a page block (<c>nr_free_pages_blocks</c>); null where the kernel has none or the recording does not tell.</summary>
    public long? FreeBlockPages { get; set; }

    /// <summary>What each CPU has not yet folded into <see cref="FreeBlockPages"/>, signed.</summary>
    public int[] FreeBlockPagesCpuDiff { get; set; } = [];

    /// <summary>Page blocks of type isolate.</summary>
    public long IsolatedPageblocks { get; set; }

    /// <summary>The kernel's zone flags: bit 0 boosted watermark with kswapd not yet woken, bit 1 reclaim active, bit 2 below the high watermark.</summary>
    public uint Flags { get; set; }

    /// <summary>Pages kept back from a request whose highest usable zone has the kernel index of the position.</summary>
    public long[] LowmemReserve { get; set; } = [];

    /// <summary>The folded free-page counter that watermark checks read.</summary>
    public long FreePages { get; set; }

    /// <summary>What each CPU has not yet folded into <see cref="FreePages"/>, signed.</summary>
    public int[] FreePagesCpuDiff { get; set; } = [];

    /// <summary>How large an unfolded part may become before it is folded in.</summary>
    public int StatThreshold { get; set; }

    /// <summary>The per-CPU page lists, by CPU.</summary>
    public List<PcpState> Pcp { get; } = [];

    /// <summary>Free blocks by <c>[order][migrate type]</c>: the first frame of each, from the head of the list.</summary>
    public long[][][] FreeLists { get; set; } = [];

    /// <summary>The index (<c>pfn &gt;&gt; PageblockOrder</c>) of the first entry of <see cref="Pageblocks"/>.</summary>
    public long FirstPageblock { get; set; }

    /// <summary>The migrate type of each page block that the zone touches; <see cref="NoPageblock"/> where there is no memory.</summary>
    public byte[] Pageblocks { get; set; } = [];

    /// <summary>Frames in use that are on an LRU list or driver-movable, as (first frame, count): block stealing counts them.</summary>
    public List<(long Start, long Count)> LruOrMovable { get; } = [];

    /// <summary>Marks a page block without memory in <see cref="Pageblocks"/>.</summary>
    public const byte NoPageblock = 0xff;
}

/// <summary>The page lists of one CPU in one zone.</summary>
public sealed class PcpState
{
    /// <summary>Pages in all lists.</summary>
    public int Count { get; set; }

    /// <summary>From this many pages on, a free drains.</summary>
    public int High { get; set; }

    /// <summary>Pages moved to or from the free lists at a time.</summary>
    public int Batch { get; set; }

    /// <summary>What consecutive frees have added up to: with a fixed limit how far the drain batch was scaled up (<c>free_factor</c>), with a moving one their pages (<c>free_count</c>).</summary>
    public int FreeFactor { get; set; }

    /// <summary>The bounds of a limit that moves; null where it does not, or the recording does not tell.</summary>
    public (int Min, int Max)? HighBounds { get; set; }

    /// <summary>How often the next refill of single pages is doubled, where the limit moves.</summary>
    public int AllocFactor { get; set; }

    /// <summary>The kernel's flags of the lists where the limit moves: bit 0 the last free was of order 1 to 3, bit 1 the CPU's cache is large.</summary>
    public int Flags { get; set; } = LargeCache;

    /// <summary>The flag of <see cref="Flags"/> for a CPU with a large cache.</summary>
    public const int LargeCache = 2;

    /// <summary>The lists by index (order * 3 + type for orders 0 to 3, then page-block order unmovable/reclaimable and movable): first frames, from the head.</summary>
    public long[][] Lists { get; set; } = [];

    /// <summary>The migrate type cached in each of these pages; same shape as <see cref="Lists"/>. Empty where the recording does not tell: the list's own type then.</summary>
    public byte[][] CachedTypes { get; set; } = [];
}
