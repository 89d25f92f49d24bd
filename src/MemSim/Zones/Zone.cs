using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.Kernels;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim;

/// <summary>The flags of a zone, as the kernel's <c>enum zone_flags</c>.</summary>
[Flags]
public enum ZoneFlags
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary><c>ZONE_BOOSTED_WATERMARK</c>: the watermark was boosted and kswapd not yet woken for it.</summary>
    BoostedWatermark = 1,

    /// <summary><c>ZONE_RECLAIM_ACTIVE</c>: kswapd is reclaiming; per-CPU lists are kept short.</summary>
    ReclaimActive = 2,

    /// <summary><c>ZONE_BELOW_HIGH</c>: an allocation found the zone below its high watermark (since 6.7); the limits of per-CPU lists fall.</summary>
    BelowHigh = 4,
}

/// <summary>The four watermarks of a zone.</summary>
public enum Watermark
{
    /// <summary>Below it only requests with special rights succeed.</summary>
    Min = 0,

    /// <summary>Below it kswapd is woken.</summary>
    Low = 1,

    /// <summary>Above it kswapd goes to sleep.</summary>
    High = 2,

    /// <summary>Above it memory tiering promotes pages.</summary>
    Promo = 3,
}

/// <summary>A range of a node's page frames that is managed as one pool (<c>struct zone</c>).</summary>
/// <remarks>All counts are in pages unless a name says otherwise.</remarks>
public sealed partial class Zone
{
    /// <summary>Marks a page block without memory.</summary>
    internal const byte NoPageblock = 0xff;

    internal readonly FrameArray Frames;

    /// <summary>The machine's number of this zone: what page frames carry.</summary>
    internal readonly int Id;

    internal readonly int PageblockOrder;

    // ---- read by every allocation
    internal long FreePagesFolded;

    /// <summary>The watermark that a first attempt has to pass, without boost: low, or high until the zone is known to be below that.</summary>
    internal long MarkFirst;

    /// <summary>Pages of the reserve for high-order atomic requests that others may not count on.</summary>
    internal long HighAtomicHeld;
    internal long FreeCmaPagesCount;
    internal long MarkMin;
    internal long MarkPromo;
    internal long Boost;
    internal long[] Reserve = [];

    /// <summary>Whether the quick check of a first attempt does not do: with CMA, or where a kernel checks order by order.</summary>
    internal bool NeedsFullCheck;

    private readonly AllocatorRules _rules;
    private ZoneFlags _flags;
    private long _markLow;
    private long _markHigh;
    private long _highAtomicReserved;
    private long _freeHighAtomic;
    private bool _hasCma;

    /// <summary>Whether the machine is gone, and with it the frames.</summary>
    internal bool IsDisposed;

    // ---- changed by the buddy lists under the lock
    internal FreeArea FreeArea;
    internal byte[] PageblockTypes = [];
    internal long FirstPageblock;
    // Guards FreeArea, PageblockTypes, Capture and the counts of free pages (zone->lock).
    internal PaddedLock Lock;
    internal PerCpuPages[] Pcp = [];

    internal Zone(Node node, ZoneType type, int index, int id, int pageblockOrder, MemMap map, int firstHead, AllocatorRules rules, bool parallel)
    {
        _parallel = parallel;
        _rules = rules;
        NeedsFullCheck = rules.HalvesLimitWithOrder;
        Node = node;
        Type = type;
        Index = index;
        Id = id;
        PageblockOrder = pageblockOrder;
        Frames = map.Array;
        FreeArea = new FreeArea(map.Array, map.Untouched, firstHead);
        Counters = new ZoneCounters();
    }

    /// <summary>The node this zone belongs to.</summary>
    public Node Node { get; }

    /// <summary>The kind of zone.</summary>
    public ZoneType Type { get; }

    /// <summary>The kernel's index of the zone within its node: the position among the architecture's zone types.</summary>
    public int Index { get; }

    /// <summary>The kernel's name: <c>DMA</c>, <c>DMA32</c>, <c>Normal</c>, <c>HighMem</c>, <c>Movable</c>, <c>Device</c>.</summary>
    public string Name => Type.KernelName();

    /// <summary>The first frame spanned.</summary>
    public Pfn StartPfn { get; internal set; }

    /// <summary>Frames spanned, holes included.</summary>
    public long SpannedPages { get; internal set; }

    /// <summary>Frames that exist.</summary>
    public long PresentPages { get; internal set; }

    /// <summary>Frames given to the buddy allocator.</summary>
    public long ManagedPages { get; internal set; }

    /// <summary>Frames set aside for contiguous allocations.</summary>
    public long CmaPages { get; internal set; }

    /// <summary>The frame after the last one spanned.</summary>
    public Pfn EndPfn => StartPfn + SpannedPages;

    /// <summary>Managed pages that are neither in a free list nor in one of a CPU.</summary>
    internal long PagesOnNoList => ManagedPages - Pcp.Sum(p => p.Count) - Enumerable.Range(0, PageGeometry.OrderCount).Sum(o => FreeArea.Blocks(o) << o);

    /// <summary>Managed frames whose use is not known to the machine: what a restored state had in use.</summary>
    public long UntrackedPages { get; internal set; }

    /// <summary>Whether the zone has frames at all.</summary>
    public bool IsPopulated => PresentPages != 0;

    /// <summary>The free-page counter that watermark checks read: what the CPUs have folded in. See <see cref="TrueFreePages"/>.</summary>
    public long FreePages => FreePagesFolded;

    /// <summary>Free pages including what each CPU has not folded in yet.</summary>
    public long TrueFreePages
    {
        get
        {
            long free = FreePagesFolded;
            foreach (PerCpuPages pcp in Pcp)
            {
                free += pcp.FreePagesDiff;
            }

            return free;
        }
    }

    /// <summary>Pages in blocks reserved for high-order atomic requests (<c>nr_reserved_highatomic</c>).</summary>
    public long ReservedHighAtomicPages => HighAtomicReserved;

    /// <summary>Free pages in blocks of the lists of that reserve (<c>nr_free_highatomic</c>); 0 where the kernel does not count them.</summary>
    public long FreeHighAtomicPages => _rules.CountsFreeHighAtomic ? _freeHighAtomic : 0;

    /// <summary>Pages in free blocks of at least a page block, including what each CPU has not folded in (<c>nr_free_pages_blocks</c>); 0 where the kernel does not count them.</summary>
    public long FreePageblockPages
    {
        get
        {
            long free = FreeBlocksFolded;
            foreach (PerCpuPages pcp in Pcp)
            {
                free += pcp.FreeBlocksDiff;
            }

            return free;
        }
    }

    /// <summary>Free pages in CMA blocks.</summary>
    public long FreeCmaPages => FreeCmaPagesCount;

    /// <summary>Page blocks that are isolated.</summary>
    public long IsolatedPageblocks { get; internal set; }

    /// <summary>Pages currently added to each watermark because of fragmentation (<c>watermark_boost</c>).</summary>
    public long WatermarkBoost => Boost;

    /// <summary>The zone's state flags.</summary>
    public ZoneFlags Flags
    {
        get => _flags;
        internal set
        {
            bool limits = ((_flags ^ value) & (ZoneFlags.ReclaimActive | ZoneFlags.BelowHigh)) != 0;
            _flags = value;
            if (limits)
            {
                UpdateMarkFirst();
                foreach (PerCpuPages pcp in Pcp)
                {
                    pcp.UpdateTrim();
                }
            }
        }
    }

    /// <summary>Pages kept back from a request whose highest usable zone has the index of the position (<c>lowmem_reserve</c>, "protection").</summary>
    public IReadOnlyList<long> LowmemReserve => Reserve;

    /// <summary>The LRU and event counters of the zone (<c>vm_stat</c>).</summary>
    public ZoneCounters Counters { get; }

    /// <summary>Pages scanned since a page was last freed (the textbook's <c>pages_scanned</c>; per node since 4.8).</summary>
    public long PagesScanned { get; internal set; }

    /// <summary>Entries of the table of wait queues for locked pages (<c>wait_table_hash_nr_entries</c> until 4.9): one per 256 whole pages, rounded up to a power of two, 4 to 4096.</summary>
    public long WaitTableEntries => Math.Clamp((long)System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)Math.Max(1, SpannedPages / 256)), 4, 4096);

    /// <summary>How many times as many active as inactive anonymous pages the zone should have (<c>zone->inactive_ratio</c>, 2.6.28 to 4.6): the square root of ten times its GiB, at least 1.</summary>
    public int InactiveRatio => Math.Max(1, (int)Math.Sqrt(10 * (PresentPages >> (30 - PageGeometry.PageShift))));

    /// <summary>log2 of <see cref="WaitTableEntries"/> (<c>wait_table_bits</c>).</summary>
    public int WaitTableBits => System.Numerics.BitOperations.Log2((ulong)WaitTableEntries);

    /// <summary>A watermark without boost.</summary>
    /// <param name="watermark">Which one.</param>
    /// <returns>Pages.</returns>
    public long GetWatermark(Watermark watermark) => watermark switch
    {
        Watermark.Min => MarkMin,
        Watermark.Low => MarkLow,
        Watermark.High => MarkHigh,
        Watermark.Promo => MarkPromo,
        _ => throw new ArgumentOutOfRangeException(nameof(watermark)),
    };

    /// <summary>A watermark as checks use it: with boost (<c>wmark_pages()</c>).</summary>
    /// <param name="watermark">Which one.</param>
    /// <returns>Pages.</returns>
    public long GetWatermarkPages(Watermark watermark) => GetWatermark(watermark) + Boost;

    /// <summary>Free blocks of an order, of all migrate types (<c>free_area[order].nr_free</c>).</summary>
    /// <param name="order">0 to <see cref="PageGeometry.MaxOrder"/>.</param>
    public long FreeBlocks(int order)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(order);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(order, PageGeometry.MaxOrder);
        return FreeArea.Blocks(order);
    }

    /// <summary>The first frames of the free blocks of an order and type, from the head of the list: the head is what the next allocation takes.</summary>
    /// <param name="order">0 to <see cref="PageGeometry.MaxOrder"/>.</param>
    /// <param name="type">The migrate type of the list.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such list.</exception>
    /// <exception cref="InvalidOperationException">While enumerating: the list was changed.</exception>
    public IEnumerable<Pfn> FreeList(int order, MigrateType type)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(order);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(order, PageGeometry.MaxOrder);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)type, (uint)FreeArea.MigrateTypes, nameof(type));
        return Walk(FreeArea.Head(order, (int)type));
    }

    /// <summary>The first frames of the blocks in one of a CPU's page lists, from the head.</summary>
    /// <param name="cpu">The CPU's number.</param>
    /// <param name="order">0 to 3, or the order of a page block.</param>
    /// <param name="type">Unmovable, movable or reclaimable.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such list.</exception>
    /// <exception cref="InvalidOperationException">While enumerating: the list was changed.</exception>
    public IEnumerable<Pfn> PcpList(int cpu, int order, MigrateType type)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)cpu, (uint)Pcp.Length, nameof(cpu));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)type, (uint)PerCpuPages.PcpTypes, nameof(type));
        if ((uint)order > PageGeometry.CostlyOrder && order != PageblockOrder)
        {
            throw new ArgumentOutOfRangeException(nameof(order), order, $"per-CPU lists exist for orders 0 to {PageGeometry.CostlyOrder} and {PageblockOrder}");
        }

        return Walk(Pcp[cpu].FirstHead + PerCpuPages.ListIndex(order, (int)type));
    }

    /// <summary>The state of a CPU's page lists in this zone.</summary>
    /// <param name="cpu">The CPU's number.</param>
    /// <exception cref="ArgumentOutOfRangeException">The machine has no such CPU.</exception>
    public PagesetInfo Pageset(int cpu)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)cpu, (uint)Pcp.Length, nameof(cpu));
        PerCpuPages pcp = Pcp[cpu];
        return new PagesetInfo(pcp.Count, pcp.High, pcp.Batch, pcp.FreeRun, pcp.StatThreshold)
        {
            HighMin = pcp.HighMin,
            HighMax = pcp.HighMax,
            AllocFactor = pcp.AllocFactor,
        };
    }

    /// <summary>The migrate type of the page block that holds a frame; null where the zone has no memory.</summary>
    /// <param name="pfn">A frame the zone spans.</param>
    public MigrateType? PageblockType(Pfn pfn)
    {
        long block = (pfn.Value >> PageblockOrder) - FirstPageblock;
        return (ulong)block >= (ulong)PageblockTypes.Length || PageblockTypes[block] == NoPageblock ? null : (MigrateType)PageblockTypes[block];
    }

    /// <summary>Whether a frame lies in the range the zone spans.</summary>
    public bool Spans(Pfn pfn) => pfn.Value >= StartPfn.Value && pfn.Value < EndPfn.Value;

    /// <summary>The zone as <c>Node 0, zone   Normal</c>.</summary>
    public override string ToString() => $"Node {Node.Id}, zone {Name,8}";

    internal long MarkLow
    {
        get => _markLow;
        set
        {
            _markLow = value;
            UpdateMarkFirst();
        }
    }

    internal long MarkHigh
    {
        get => _markHigh;
        set
        {
            _markHigh = value;
            UpdateMarkFirst();
        }
    }

    internal long HighAtomicReserved
    {
        get => _highAtomicReserved;
        set
        {
            _highAtomicReserved = value;
            UpdateHighAtomicHeld();
        }
    }

    internal long FreeHighAtomic
    {
        get => _freeHighAtomic;
        set
        {
            _freeHighAtomic = value;
            UpdateHighAtomicHeld();
        }
    }

    internal bool HasCma
    {
        get => _hasCma;
        set
        {
            _hasCma = value;
            NeedsFullCheck = value || _rules.HalvesLimitWithOrder;
        }
    }

    /// <summary>What the CPUs have folded into the counter of pages in free page blocks.</summary>
    internal long FreeBlocksFolded { get; set; }

    internal AllocatorRules Rules => _rules;

    /// <summary>The folded counter as checks read it: a negative one reads as 0.</summary>
    internal long FreePagesForChecks
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Math.Max(0, FreePagesFolded);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int BlockType(int pfn) => PageblockTypes[(pfn >> PageblockOrder) - (int)FirstPageblock];

    internal void SetBlockType(int pfn, int type) => PageblockTypes[(pfn >> PageblockOrder) - (int)FirstPageblock] = (byte)type;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool SpansIndex(long pfn) => pfn >= StartPfn.Value && pfn < StartPfn.Value + SpannedPages;

    /// <summary>Changes the free-page counter on behalf of a CPU: into its own remainder first, folded when that grows beyond the threshold.</summary>
    /// <remarks>Kernel: <c>__mod_zone_page_state(NR_FREE_PAGES)</c>. The caller holds the lock.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void AddFreePages(PerCpuPages pcp, int pages)
    {
        int diff = pcp.FreePagesDiff + pages;
        if (diff > pcp.StatThreshold || diff < -pcp.StatThreshold)
        {
            FreePagesFolded += diff;
            diff = 0;
        }

        pcp.FreePagesDiff = diff;
        Debug.Assert(Math.Abs(diff) <= pcp.StatThreshold, "what a CPU keeps to itself is within its threshold");
    }

    /// <summary>As <see cref="AddFreePages"/>, for the counter of pages in free page blocks.</summary>
    internal void AddFreeBlocks(PerCpuPages pcp, int pages)
    {
        int diff = pcp.FreeBlocksDiff + pages;
        if (diff > pcp.StatThreshold || diff < -pcp.StatThreshold)
        {
            FreeBlocksFolded += diff;
            diff = 0;
        }

        pcp.FreeBlocksDiff = diff;
    }

    private void UpdateMarkFirst() => MarkFirst = _rules.RemembersBelowHigh && (_flags & ZoneFlags.BelowHigh) == 0 ? _markHigh : _markLow;

    private void UpdateHighAtomicHeld() => HighAtomicHeld = _rules.CountsFreeHighAtomic ? _freeHighAtomic : _highAtomicReserved;

    private IEnumerable<Pfn> Walk(int head)
    {
        for (int previous = head; ;)
        {
            ObjectDisposedException.ThrowIf(IsDisposed, this);
            int i = FreeArea.Next(previous);
            if (i == head)
            {
                yield break;
            }

            // A frame that has moved meanwhile leads into another list, whose head is no frame.
            if (i >= EndPfn.Value || FreeArea.Previous(i) != previous)
            {
                throw new InvalidOperationException("the list was changed while it was read");
            }

            yield return new Pfn(i);
            previous = i;
        }
    }
}

/// <summary>The state of one CPU's page lists in a zone (<c>pageset</c> in zoneinfo).</summary>
/// <param name="Count">Pages in the lists.</param>
/// <param name="High">From this many pages on, a free drains.</param>
/// <param name="Batch">Pages moved at a time.</param>
/// <param name="FreeFactor">What consecutive frees add up to: until 6.6 how often they doubled the drain (<c>free_factor</c>), later their pages (<c>free_count</c>).</param>
/// <param name="StatThreshold">How many pages of the free counter this CPU may keep to itself.</param>
public readonly record struct PagesetInfo(int Count, int High, int Batch, int FreeFactor, int StatThreshold)
{
    /// <summary>The lower bound of <see cref="High"/> where that moves with the load.</summary>
    public int HighMin { get; init; }

    /// <summary>The upper bound of <see cref="High"/> where that moves with the load.</summary>
    public int HighMax { get; init; }

    /// <summary>How often the next refill of single pages is doubled (<c>alloc_factor</c>).</summary>
    public int AllocFactor { get; init; }
}

/// <summary>The per-zone counters of <c>/proc/zoneinfo</c> that later subsystems change, in pages.</summary>
public sealed class ZoneCounters
{
    private long _mlock;

    /// <summary><c>nr_zone_inactive_anon</c>.</summary>
    public long InactiveAnon { get; internal set; }

    /// <summary><c>nr_zone_active_anon</c>.</summary>
    public long ActiveAnon { get; internal set; }

    /// <summary><c>nr_zone_inactive_file</c>.</summary>
    public long InactiveFile { get; internal set; }

    /// <summary><c>nr_zone_active_file</c>.</summary>
    public long ActiveFile { get; internal set; }

    /// <summary><c>nr_zone_unevictable</c>.</summary>
    public long Unevictable { get; internal set; }

    /// <summary><c>nr_zone_write_pending</c>.</summary>
    public long WritePending { get; internal set; }

    /// <summary><c>nr_mlock</c>.</summary>
    public long Mlock
    {
        get => Volatile.Read(ref _mlock);
        internal set => _mlock = value;
    }

    /// <summary>A page of the zone was locked into memory, or let go: on any CPU, whatever list it is on.</summary>
    internal void AddMlock(long pages) => Interlocked.Add(ref _mlock, pages);

    /// <summary><c>nr_bounce</c>.</summary>
    public long Bounce { get; internal set; }

    /// <summary><c>nr_zspages</c>.</summary>
    public long ZsPages { get; internal set; }
}
