namespace MemSim.Swap;

/// <summary>What stands before the swap areas and may keep a page in memory: zswap.</summary>
internal interface ISwapFront
{
    /// <summary>Keeps a page, or does not and forgets what it had of its slot.</summary>
    bool Store(Cpu cpu, SwapEntry entry, int pfn);

    /// <summary>Fills a page with what is kept of its slot.</summary>
    SwapFrontRead Load(Cpu cpu, SwapEntry entry, int pfn);

    /// <summary>A slot is free: what is kept of it goes.</summary>
    void Invalidate(Cpu cpu, SwapEntry entry);

    /// <summary>Whether a page that is not kept may go to its area.</summary>
    bool MayWriteBack(Cgroup? payer);

    /// <summary>A cgroup was removed: what it paid for, the one above pays for.</summary>
    void MoveCharges(int from, int to);
}

/// <summary>What came of asking for a page before its area is asked.</summary>
internal enum SwapFrontRead
{
    /// <summary>It is not here.</summary>
    NotKept,

    /// <summary>The page has its contents.</summary>
    Read,

    /// <summary>The page has its contents, which are kept no longer: it must be written again.</summary>
    TakenOut,

    /// <summary>What is kept is no page.</summary>
    Failed,
}
