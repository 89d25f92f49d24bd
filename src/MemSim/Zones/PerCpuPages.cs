using System.Diagnostics;
using MemSim.Hardware;
using MemSim.Kernels;
using MemSim.Pages;

namespace MemSim.Zones;

/// <summary>The page lists of one CPU in one zone, and what that CPU counts there (<c>struct per_cpu_pages</c>, <c>struct per_cpu_zonestat</c>).</summary>
/// <remarks>One list for each order 0 to 3 and migrate type, and two for huge pages (unmovable or reclaimable; movable), as all kernels since 5.14 have them.</remarks>
internal sealed class PerCpuPages
{
    /// <summary>Types that have lists of their own: unmovable, movable, reclaimable.</summary>
    public const int PcpTypes = 3;

    public const int LowOrderLists = PcpTypes * (PageGeometry.CostlyOrder + 1);

    public const int Lists = LowOrderLists + 2;

    private readonly bool _isLocal;

    public PerCpuPages(Zone zone, int cpu, bool isLocal, FrameArray frames, int firstHead)
    {
        Zone = zone;
        ZoneId = zone.Id;
        Cpu = cpu;
        _isLocal = isLocal;
        IsMoving = zone.Rules.PcpTuning == PcpTuning.MovingLimit;
        Frames = frames;
        FirstHead = firstHead;
    }

    /// <summary>Changes the threshold; what is over a lower one is not folded at once.</summary>
    public void SetStatThreshold(int threshold)
    {
        int diff = Math.Abs(FreePagesDiff);
        DiffAtLowering = diff > threshold ? diff : 0;
        StatThreshold = threshold;
    }

    /// <summary>Adds what this CPU counted for itself to the zone's counters (<c>refresh_cpu_vm_stats()</c>).</summary>
    /// <returns>Whether there was anything.</returns>
    public bool FoldCounters()
    {
        if (FreePagesDiff == 0 && FreeBlocksDiff == 0)
        {
            return false;
        }

        Zone.EnterLock();
        Debug.Assert(Math.Abs(FreePagesDiff) <= Math.Max(StatThreshold, DiffAtLowering), "what a CPU keeps to itself is within its threshold, or was when that fell");
        Zone.FreePagesFolded += FreePagesDiff;
        Zone.FreeBlocksFolded += FreeBlocksDiff;
        FreePagesDiff = 0;
        FreeBlocksDiff = 0;
        Zone.ExitLock();
        return true;
    }

    public readonly Zone Zone;
    public readonly int ZoneId;
    public readonly FrameArray Frames;
    public readonly int FirstHead;
    public readonly int Cpu;

    /// <summary>Pages (not blocks) in all lists.</summary>
    public int Count;

    /// <summary>From this many pages on, a free has to look whether to drain: <see cref="High"/>, or less while kswapd reclaims in the zone.</summary>
    public int TrimAt;

    /// <summary>
    /// What consecutive frees have added up to, halved by every allocation attempt: with a fixed limit how often they doubled the drain (<c>free_factor</c>),
    /// with a moving one their pages (<c>free_count</c>).
    /// </summary>
    public int FreeRun;

    /// <summary>How often the next refill of single pages is doubled; halved by every free (<c>alloc_factor</c>). Only with a moving limit, as all below.</summary>
    public int AllocFactor;

    /// <summary>Whether the last free was of an order 1 to 3 (<c>PCPF_PREV_FREE_HIGH_ORDER</c>).</summary>
    public bool LastFreeWasBlock;

    /// <summary>Whether the CPU's cache is large enough to keep blocks freed in a burst until there is a batch of pages (<c>PCPF_FREE_HIGH_BATCH</c>).</summary>
    public bool CacheIsLarge = true;

    /// <summary>Whether the limit moves between two bounds.</summary>
    public readonly bool IsMoving;

    /// <summary>What this CPU has not yet folded into the zone's free-page counter, in pages.</summary>
    public int FreePagesDiff;

    /// <summary>The same for the counter of pages in free page blocks.</summary>
    public int FreeBlocksDiff;

    /// <summary>How large <see cref="FreePagesDiff"/> may become before it is folded.</summary>
    public int StatThreshold { get; private set; }

    /// <summary>How large <see cref="FreePagesDiff"/> was when the threshold was last lowered below it: it stays so until the counter next changes (<c>refresh_zone_stat_thresholds()</c>); 0 when it was not.</summary>
    public int DiffAtLowering { get; private set; }

    /// <summary>Lists of another node's zone give a batch back when they were idle for so many updates (<c>expire</c>): each that folds a counter starts anew; 0 when nothing is waited for.</summary>
    public int Expire;

    /// <summary>Pages allocated from the zone by this CPU (<c>pgalloc_*</c>).</summary>
    public long PagesAllocated;

    /// <summary>Blocks allocated here by requests that wanted this node first (<c>numa_hit</c>).</summary>
    public long NumaHit;

    /// <summary>Blocks allocated here by requests that wanted another node (<c>numa_miss</c>).</summary>
    public long NumaMiss;

    /// <summary>Blocks that requests wanted here and got elsewhere (<c>numa_foreign</c>).</summary>
    public long NumaForeign;

    /// <summary>Blocks interleaved here as intended (<c>numa_interleave</c>).</summary>
    public long NumaInterleave;

    /// <summary>Blocks allocated here by a CPU of the node (<c>numa_local</c>).</summary>
    public long NumaLocal => _isLocal ? NumaHit + NumaMiss : 0;

    /// <summary>Blocks allocated here by a CPU of another node (<c>numa_other</c>).</summary>
    public long NumaOther => _isLocal ? 0 : NumaHit + NumaMiss;

    /// <summary>Refills from the free lists.</summary>
    public long Refills;

    // Guards the lists, Count and the limits: another CPU may drain them (pcp->lock).
    public PaddedLock Lock;

    private int _high;
    private int _batch = 1;
    private int _highMin;
    private int _highMax;

    /// <summary>From this many pages on, a free drains.</summary>
    public int High
    {
        get => _high;
        set
        {
            _high = value;
            UpdateTrim();
        }
    }

    /// <summary>Pages moved between these lists and the free lists at a time.</summary>
    public int Batch
    {
        get => _batch;
        set
        {
            _batch = value;
            UpdateTrim();
        }
    }

    /// <summary>The lower bound of a limit that moves.</summary>
    public int HighMin => _highMin;

    /// <summary>The upper bound of a limit that moves.</summary>
    public int HighMax => _highMax;

    /// <summary>The limit in force: while kswapd reclaims, at most four batches are kept.</summary>
    public int HighInForce => (Zone.Flags & ZoneFlags.ReclaimActive) != 0 ? Math.Min(_batch << 2, _high) : _high;

    /// <summary>Sets the bounds of a limit that moves. The limit itself follows when the CPU next uses the lists.</summary>
    public void SetBounds(int least, int most)
    {
        _highMin = least;
        _highMax = most;
        UpdateTrim();
    }

    /// <summary>The limit, brought between its bounds.</summary>
    public int ClampHigh() => High = Math.Clamp(_high, _highMin, Math.Max(_highMin, _highMax));

    /// <summary>To be called when the limits or the zone's state have changed.</summary>
    public void UpdateTrim() => TrimAt = IsMoving ? MovingTrim() : HighInForce;

    /// <summary>From how many pages on a free has something to do besides counting: from the first one on while the limit itself is to change.</summary>
    private int MovingTrim()
    {
        bool reclaims = (Zone.Flags & ZoneFlags.ReclaimActive) != 0;
        bool falls = reclaims || (_highMin != _highMax && (Zone.Flags & ZoneFlags.BelowHigh) != 0);
        if (_high == 0 || _high < _highMin || _high > _highMax || (falls && _high > _highMin))
        {
            return 0;
        }

        return reclaims ? HighInForce : _high;
    }

    /// <summary>The list a block of this order and type belongs to.</summary>
    public static int ListIndex(int order, int type) =>
        order <= PageGeometry.CostlyOrder ? (order * PcpTypes) + type : LowOrderLists + (type == (int)MigrateType.Movable ? 1 : 0);

    /// <summary>The order of the blocks in a list.</summary>
    public static int ListOrder(int index, int pageblockOrder) => index < LowOrderLists ? index / PcpTypes : pageblockOrder;
}
