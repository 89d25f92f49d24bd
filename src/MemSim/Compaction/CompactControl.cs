using MemSim.Zones;

namespace MemSim.Compaction;

/// <summary>One run of compaction over one zone (<c>struct compact_control</c>).</summary>
internal sealed class CompactControl
{
    /// <summary>Pages isolated at a time.</summary>
    public const int Cluster = 32;

    /// <summary>The order of a run that somebody asked for by hand: the whole zone, without a goal.</summary>
    public const int NoGoal = -1;

    public CompactControl(Zone zone, ZoneScanners scanners, int order)
    {
        Zone = zone;
        Scanners = scanners;
        Order = order;
        SearchOrder = order;
        Start = (int)zone.StartPfn.Value;
        End = (int)zone.EndPfn.Value;
    }

    public Zone Zone { get; }

    /// <summary>What earlier runs left to remember of the zone.</summary>
    public ZoneScanners Scanners { get; }

    public int Order { get; }

    public int Start { get; }

    public int End { get; }

    public Gfp Gfp { get; init; } = Gfp.Kernel;

    public MigrationMode Mode { get; init; }

    public AllocFlags AllocFlags { get; init; }

    public int HighestZoneIndex { get; init; }

    /// <summary>For a request that waits for it.</summary>
    public bool Direct { get; init; }

    /// <summary>What the request catches while it compacts; null for others than direct runs.</summary>
    public PageCapture? Capture { get; init; }

    /// <summary>Until the zone's fragmentation score is low enough.</summary>
    public bool Proactive { get; init; }

    public bool IgnoreSkipHint { get; init; }

    /// <summary>Skip bits and cached positions are left alone: this is no compaction.</summary>
    public bool NoSetSkipHint { get; init; }

    public bool IgnoreBlockSuitable { get; init; }

    /// <summary>To clear a range for a contiguous allocation: compound pages are moved as well.</summary>
    public bool AllocContig { get; init; }

    public bool WholeZone { get; set; }

    public bool Contended { get; set; }

    public bool FinishPageblock { get; set; }

    /// <summary>The migrate type of the request.</summary>
    public int Type => (int)((uint)Gfp >> 3) & 3;

    public bool IsSync => Mode != MigrationMode.Async;

    /// <summary>The free page that is tried first lies in the lists of this order.</summary>
    public int SearchOrder { get; set; }

    public int FastSearchFails { get; set; }

    /// <summary>The lowest free page the fast search saw: 0 for none, -1 when it has been used.</summary>
    public int FastStartPfn { get; set; }

    public int MigratePfn { get; set; }

    public int FreePfn { get; set; }

    public int LastMigratedPfn { get; set; }

    public long MigrateScanned { get; set; }

    public long FreeScanned { get; set; }

    /// <summary>Pages isolated to be moved; the last comes first.</summary>
    public List<int> MigratePages { get; } = [];

    /// <summary>Single pages to move to, allocated; the last comes first.</summary>
    public List<int> FreePages { get; } = [];

    /// <summary>Whether the scanners are in the same page block, or past each other.</summary>
    public bool ScannersMet => FreePfn >> Zone.PageblockOrder <= MigratePfn >> Zone.PageblockOrder;

    public int PageblockPages => 1 << Zone.PageblockOrder;

    /// <summary>How long a search of a free list may be: shorter after searches in vain.</summary>
    public int FreelistScanLimit => (Cluster >> Math.Min(FastSearchFails, 31)) + 1;

    public int BlockStart(int pfn) => pfn & ~(PageblockPages - 1);

    public int BlockEnd(int pfn) => BlockStart(pfn) + PageblockPages;

    public bool IsBlockAligned(int pfn) => (pfn & (PageblockPages - 1)) == 0;
}
