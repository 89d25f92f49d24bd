using System.Diagnostics;

namespace MemSim.Compaction;

/// <summary>What compaction remembers of a zone between runs: where its scanners stopped, which page blocks are not worth a look, how long to leave the zone alone.</summary>
/// <remarks>Kernel: the <c>compact_*</c> fields of <c>struct zone</c> and the skip bits of its page blocks.</remarks>
internal sealed class ZoneScanners
{
    private ulong[] _skip;
    private int _firstBlock;
    private readonly int _pageblockOrder;
    // Guards the scanners' positions: who finds them busy leaves compaction to the other.
    private int _busy;

    public ZoneScanners(Zone zone)
    {
        _pageblockOrder = zone.PageblockOrder;
        _firstBlock = (int)zone.FirstPageblock;
        _skip = new ulong[(zone.PageblockTypes.Length + 63) / 64];
    }

    /// <summary>The zone spans other frames than before: all of its page blocks are worth a look.</summary>
    public void SpanChanged(Zone zone)
    {
        _firstBlock = (int)zone.FirstPageblock;
        _skip = new ulong[(zone.PageblockTypes.Length + 63) / 64];
        CachedFreePfn = IfSpanned(CachedFreePfn);
        CachedMigratePfnAsync = IfSpanned(CachedMigratePfnAsync);
        CachedMigratePfnSync = IfSpanned(CachedMigratePfnSync);
        InitMigratePfn = IfSpanned(InitMigratePfn);
        InitFreePfn = IfSpanned(InitFreePfn);

        // The kernel finds a position outside of the zone when it next compacts, and begins anew.
        int IfSpanned(int pfn) => zone.SpansIndex(pfn) ? pfn : 0;
    }

    /// <summary>Where the free scanner goes on.</summary>
    public int CachedFreePfn { get; set; }

    /// <summary>Where asynchronous migration scanners go on.</summary>
    public int CachedMigratePfnAsync { get; set; }

    /// <summary>Where synchronous migration scanners go on.</summary>
    public int CachedMigratePfnSync { get; set; }

    /// <summary>The lowest block that was worth a look when the skip bits were last cleared.</summary>
    public int InitMigratePfn { get; set; }

    /// <summary>The highest such block.</summary>
    public int InitFreePfn { get; set; }

    /// <summary>Runs not made since compaction last failed.</summary>
    public int Considered { get; set; }

    /// <summary>log2 of how many runs are put off after a failure.</summary>
    public int DeferShift { get; set; }

    /// <summary>From this order on, runs are put off.</summary>
    public int OrderFailed { get; set; }

    /// <summary>Whether the skip bits are to be cleared before kswapd sleeps.</summary>
    public bool FlushSkipBits { get; set; }

    /// <summary>Page blocks marked to be skipped.</summary>
    public int SkippedBlocks
    {
        get
        {
            int count = 0;
            foreach (ulong word in _skip)
            {
                count += System.Numerics.BitOperations.PopCount(word);
            }

            return count;
        }
    }

    /// <summary>Whether somebody compacts the zone.</summary>
    public bool IsBusy => Volatile.Read(ref _busy) != 0;

    public bool TryEnter() => Interlocked.CompareExchange(ref _busy, 1, 0) == 0;

    public void Leave()
    {
        Debug.Assert(IsBusy, "who leaves came");
        Volatile.Write(ref _busy, 0);
    }

    public bool IsSkipped(int pfn)
    {
        int block = Block(pfn);
        return (_skip[block >> 6] >> block & 1) != 0;
    }

    public void Skip(int pfn)
    {
        int block = Block(pfn);
        _skip[block >> 6] |= 1UL << block;
    }

    public void Unskip(int pfn)
    {
        int block = Block(pfn);
        _skip[block >> 6] &= ~(1UL << block);
    }

    private int Block(int pfn) => (pfn >> _pageblockOrder) - _firstBlock;
}
