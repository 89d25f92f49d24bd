using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim.Zones;

/// <summary>The page lists of one CPU in one zone, and what that CPU counts there (<c>struct per_cpu_pages</c>, <c>struct per_cpu_zonestat</c>).</summary>
/// <remarks>One list for each order 0 to 3 and migrate type, and two for huge pages (unmovable or reclaimable; movable), as 6.1 has them.</remarks>
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

    public readonly Zone Zone;
    public readonly int ZoneId;
    public readonly FrameArray Frames;
    public readonly int FirstHead;
    public readonly int Cpu;

    /// <summary>Pages (not blocks) in all lists.</summary>
    public int Count;

    /// <summary>From this many pages on, a free has to look whether to drain: <see cref="High"/>, or less while kswapd reclaims in the zone.</summary>
    public int TrimAt;

    /// <summary>How often consecutive frees have doubled the drain; every allocation attempt halves it.</summary>
    public int FreeFactor;

    /// <summary>What this CPU has not yet folded into the zone's free-page counter, in pages.</summary>
    public int FreePagesDiff;

    /// <summary>How large <see cref="FreePagesDiff"/> may become before it is folded.</summary>
    public int StatThreshold { get; private set; }

    /// <summary>How large <see cref="FreePagesDiff"/> was when the threshold was last lowered below it: it stays so until the counter next changes (<c>refresh_zone_stat_thresholds()</c>); 0 when it was not.</summary>
    public int DiffAtLowering { get; private set; }

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

    public PaddedLock Lock;

    private int _high;
    private int _batch = 1;

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

    /// <summary>The limit in force: while kswapd reclaims, at most four batches are kept.</summary>
    public int HighInForce => (Zone.Flags & ZoneFlags.ReclaimActive) != 0 ? Math.Min(_batch << 2, _high) : _high;

    /// <summary>To be called when the limits or the zone's state have changed.</summary>
    public void UpdateTrim() => TrimAt = HighInForce;

    /// <summary>The list a block of this order and type belongs to.</summary>
    public static int ListIndex(int order, int type) =>
        order <= PageGeometry.CostlyOrder ? (order * PcpTypes) + type : LowOrderLists + (type == (int)MigrateType.Movable ? 1 : 0);

    /// <summary>The order of the blocks in a list.</summary>
    public static int ListOrder(int index, int pageblockOrder) => index < LowOrderLists ? index / PcpTypes : pageblockOrder;
}
