using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Kernels;
using MemSim.Pages;

namespace MemSim.Lru;

/// <summary>The pages of one LRU vector by generations: numbered slots of the same age that move on in a window (<c>struct lru_gen_folio</c>, the multi-generational LRU).</summary>
/// <remarks>
/// A generation has a sequence number; the youngest has <see cref="MaxSequence"/>, the oldest of a kind its <see cref="MinSequence"/>, and between two and four exist at a
/// time. Aging adds a youngest one; eviction takes from the oldest. The two youngest count as active. A page that was found used says so in its byte at once and
/// is moved to the list of its generation when eviction meets it. The caller holds the vector's lock.
/// </remarks>
internal sealed partial class LruGenerations
{
    /// <summary>Generations that stay out of eviction's reach (<c>MIN_NR_GENS</c>).</summary>
    public const int MinGenerations = 2;

    /// <summary>Generations that can exist (<c>MAX_NR_GENS</c>).</summary>
    public const int MaxGenerations = 4;

    /// <summary>Pages to isolate at a time (<c>MIN_LRU_BATCH</c>).</summary>
    public const int MinBatch = 64;

    /// <summary>Pages to look at in one go (<c>MAX_LRU_BATCH</c>).</summary>
    public const int MaxBatch = MinBatch * 64;

    /// <summary>The kinds of pages: anonymous (0), of files (1).</summary>
    public const int Kinds = 2;

    private const int SlotMask = MaxGenerations - 1;

    private readonly LruVec _vec;
    private readonly FrameArray _frames;
    private readonly PageAges _ages;
    private readonly ReclaimRules _rules;
    private readonly IReadOnlyList<Zone> _zones;
    private readonly int _firstHead;
    private readonly int _zoneCount;
    private readonly bool _parallel;
    private readonly long[] _pages;
    private readonly long[] _min = new long[Kinds];
    private readonly long[] _born = new long[MaxGenerations];

    public LruGenerations(LruVec vec, FrameArray frames, PageAges ages, ReclaimRules rules, int firstHead, bool parallel)
    {
        _vec = vec;
        _frames = frames;
        _ages = ages;
        _rules = rules;
        Accesses = new PageAccesses(ages, rules, parallel);
        Control = new EvictionControl(rules);
        _zones = vec.Node.Zones;
        _zoneCount = _zones.Count;
        _firstHead = firstHead;
        _parallel = parallel;
        _pages = new long[MaxGenerations * Kinds * _zoneCount];
        MaxSequence = MinGenerations + 1;
    }

    /// <summary>List heads that a vector of so many zones needs.</summary>
    public static int ListHeads(int zones) => MaxGenerations * Kinds * zones;

    /// <summary>The youngest generation.</summary>
    public long MaxSequence { get; private set; }

    /// <summary>What page tables are worth a look at the next aging, and at the one after it.</summary>
    public BloomFilter[] Filters { get; } = [new(), new()];

    /// <summary>What walks of page tables found: entries, entries used, tables walked, tables remembered (<c>mm_stats</c>).</summary>
    public long[] WalkCounts { get; } = new long[4];

    /// <summary>The oldest generation of a kind.</summary>
    public long MinSequence(int kind) => _min[kind];

    /// <summary>Accesses through file descriptors, and what tier they make.</summary>
    public PageAccesses Accesses { get; }

    /// <summary>What eviction takes.</summary>
    public EvictionControl Control { get; }

    /// <summary>Whether only pages evicted from the generation that is the oldest now count as refaults.</summary>
    public bool OnlyOldestRefaults => _rules.OnlyOldestRefaults;

    /// <summary>When a generation was added, on the machine's clock.</summary>
    public long BornNanoseconds(long sequence) => _born[Slot(sequence)];

    /// <summary>Generations of a kind.</summary>
    public int Generations(int kind) => (int)(MaxSequence - _min[kind] + 1);

    /// <summary>Pages of a kind in a generation.</summary>
    public long Pages(long sequence, int kind)
    {
        long pages = 0;
        for (int zone = 0; zone < _zoneCount; zone++)
        {
            pages += Math.Max(0, _pages[Index(Slot(sequence), kind, zone)]);
        }

        return pages;
    }

    /// <summary>All generations begin at the same time.</summary>
    public void Begin(long now) => Array.Fill(_born, now);

    /// <summary>The slot that a sequence number has.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Slot(long sequence) => (int)sequence & SlotMask;

    /// <summary>Whether a slot is one of the two youngest, which count as active.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsActive(int slot) => slot == Slot(MaxSequence) || slot == Slot(MaxSequence - 1);

    /// <summary>The kind of a page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int KindOf(in PageFrame frame) => frame.IsSwapBacked ? 0 : 1;

    /// <summary>Puts a page into the generation that its state names (<c>lru_gen_add_folio()</c>).</summary>
    public void Add(ref PageFrame frame, int pfn, Zone zone, bool oldest)
    {
        int kind = KindOf(frame);
        Debug.Assert(_ages.Generation(pfn) < 0, "a page that comes is in no generation");
        int slot = Slot(SequenceOf(ref frame, kind, oldest));
        Debug.Assert(MaxSequence - _min[kind] < MaxGenerations, "generations fit into the window");
        frame.Clear(PageFlags.Active, _parallel);
        _ages.SetGeneration(pfn, slot);
        Count(slot, kind, zone, 1L << frame.Order);
        int head = Head(slot, kind, zone.Index);
        if (oldest)
        {
            _frames.AddLast(head, pfn);
        }
        else
        {
            _frames.AddFirst(head, ref frame, pfn);
        }
    }

    /// <summary>Takes a page off its list; one of an active generation says that it was active (<c>lru_gen_del_folio()</c>).</summary>
    public void Remove(ref PageFrame frame, int pfn, Zone zone)
    {
        int slot = _ages.Generation(pfn);
        Debug.Assert(slot >= 0, "a page that goes is in a generation");
        if (IsActive(slot))
        {
            frame.Set(PageFlags.Active, _parallel);
        }

        _ages.SetGeneration(pfn, -1);
        Count(slot, KindOf(frame), zone, -(1L << frame.Order));
        _frames.Remove(pfn);
    }

    /// <summary>Of a page that was used through page tables: into a younger generation, in its list when eviction meets it (<c>folio_update_gen()</c>).</summary>
    public void Promote(ref PageFrame frame, int pfn, Zone zone, int slot)
    {
        int old = _ages.Generation(pfn);
        if (old < 0)
        {
            if (!Accesses.HasWorkingSetTier)
            {
                // Isolated: whoever looks at it is to see that it was used.
                frame.Set(PageFlags.Referenced, _parallel);
            }

            return;
        }

        frame.Clear(Accesses.Marks, _parallel);
        if (Accesses.HasWorkingSetTier)
        {
            frame.Set(PageFlags.WorkingSet, _parallel);
        }

        _ages.Begin(pfn, slot);
        Recount(old, slot, KindOf(frame), zone, 1L << frame.Order);
    }

    /// <summary>The generation for a page, from its flags.</summary>
    private long SequenceOf(ref PageFrame frame, int kind, bool oldest)
    {
        bool active = frame.IsActive;
        bool notYet = (kind == 0 && !frame.InSwapCache) || (frame.IsToBeReclaimed && frame.Has(PageFlags.Dirty | PageFlags.Writeback));
        long min = _min[kind];
        if (_rules.NewPages == GenerationPlacement.FromYoungest)
        {
            int workingset = frame.IsWorkingset ? 1 : 0;
            int back = active ? MinGenerations - workingset : oldest ? MaxGenerations : notYet ? MinGenerations : MaxGenerations - workingset;
            return Math.Max(MaxSequence - back + 1, min);
        }

        if (active)
        {
            return MaxSequence;
        }

        if (_rules.NewPages == GenerationPlacement.Oldest)
        {
            return notYet ? min + 1 : min;
        }

        return notYet ? MaxSequence - 1 : oldest || min + MinGenerations >= MaxSequence ? min : min + 1;
    }

    /// <summary>The head of the list of a slot, kind and zone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Head(int slot, int kind, int zone) => _firstHead + Index(slot, kind, zone);

    /// <summary>Its place among all.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Index(int slot, int kind, int zone) => (((slot * Kinds) + kind) * _zoneCount) + zone;

    /// <summary>The list that views show the pages of a slot in.</summary>
    public LruList ListOf(int slot, int kind) => (LruList)((kind * 2) + (IsActive(slot) ? 1 : 0));

    /// <summary>Pages counted at such a place.</summary>
    public long Counted(int index) => _pages[index];

    /// <summary>The zone of a frame of this node; null for one of another.</summary>
    public Zone? ZoneOf(in PageFrame frame)
    {
        foreach (Zone zone in _zones)
        {
            if (zone.Id == frame.ZoneId)
            {
                return zone;
            }
        }

        return null;
    }

    /// <summary>Pages come into a generation or leave it for good.</summary>
    private void Count(int slot, int kind, Zone zone, long pages)
    {
        _pages[Index(slot, kind, zone.Index)] += pages;
        Debug.Assert(slot >= 0 && slot < MaxGenerations, "a slot of the window");
        _vec.Count(zone, ListOf(slot, kind), pages);
    }

    /// <summary>Pages go from one generation to another.</summary>
    private void Recount(int from, int to, int kind, Zone zone, long pages)
    {
        if (from == to)
        {
            return;
        }

        _pages[Index(from, kind, zone.Index)] -= pages;
        _pages[Index(to, kind, zone.Index)] += pages;
        Debug.Assert(pages > 0 && (uint)from < MaxGenerations && (uint)to < MaxGenerations, "from one slot of the window to another");
        if (!IsActive(from) && IsActive(to))
        {
            _vec.Count(zone, (LruList)(kind * 2), -pages);
            _vec.Count(zone, (LruList)((kind * 2) + 1), pages);
        }
    }
}
