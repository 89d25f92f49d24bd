using System.Numerics;

namespace MemSim.Boot;

/// <summary>The steps in which a booting kernel hands frames to the page allocator, in their order.</summary>
public enum ReleasePhase
{
    /// <summary>High memory of 32-bit machines: page by page, like any free, so each block goes to the head of its list.</summary>
    HighMemory,

    /// <summary>What memblock has left, lowest address first: largest aligned blocks, each to the tail of its list.</summary>
    Memblock,

    /// <summary>The part of each node's last zone whose page frames are initialised late, when all CPUs run: lowest address first, to the tail.</summary>
    Deferred,

    /// <summary>Contiguous memory areas: page block by page block with migrate type CMA, an ordinary free each.</summary>
    Cma,

    /// <summary>Memory that only the boot needed and that is free before the initcalls run.</summary>
    BeforeInitcalls,

    /// <summary>The initial RAM disk and the kernel's init sections: page by page, an ordinary free each.</summary>
    AfterInitcalls,
}

/// <summary>Free frames of one zone that one step of the boot hands to the page allocator, to be given from the first to the last.</summary>
/// <param name="Zone">The zone.</param>
/// <param name="Start">The first frame.</param>
/// <param name="Pages">How many.</param>
/// <param name="Phase">The step.</param>
/// <param name="What">What it was, for logs: <c>free memory</c>, <c>initrd</c>, ...</param>
public sealed record ReleaseRange(BootZone Zone, Pfn Start, long Pages, ReleasePhase Phase, string What)
{
    /// <summary>The frame after the last.</summary>
    public Pfn End => Start + Pages;

    /// <summary>Whether blocks go to the tail of their free list (the kernel's <c>FPI_TO_TAIL</c>) rather than where an ordinary free puts them.</summary>
    public bool ToTail => Phase is ReleasePhase.Memblock or ReleasePhase.Deferred;

    /// <summary>
    /// Whether each page is freed on its own through the per-CPU lists, which exist by then. In the other phases a block-wise free in ascending order leaves the same lists as
    /// the kernel's page-wise one, because a block reaches its final list exactly when its last page is freed.
    /// </summary>
    public bool PageByPage => Phase is ReleasePhase.AfterInitcalls or ReleasePhase.BeforeInitcalls;

    /// <summary>The blocks to free, in order: largest aligned ones, page blocks for <see cref="ReleasePhase.Cma"/>, single pages where <see cref="PageByPage"/>.</summary>
    /// <param name="pageblockOrder">log2 of the pages in a page block.</param>
    internal IEnumerable<(Pfn Start, int Order)> Blocks(int pageblockOrder) =>
        SplitIntoBlocks(Start, End, PageByPage ? 0 : Phase == ReleasePhase.Cma ? pageblockOrder : PageGeometry.MaxOrder);

    /// <summary>Splits frames into the largest naturally aligned blocks, lowest first, as the kernel does when memblock's memory is freed.</summary>
    /// <param name="start">The first frame.</param>
    /// <param name="end">The frame after the last.</param>
    /// <param name="maxOrder">log2 of the pages of the largest block.</param>
    public static IEnumerable<(Pfn Start, int Order)> SplitIntoBlocks(Pfn start, Pfn end, int maxOrder = PageGeometry.MaxOrder)
    {
        for (long pfn = start.Value; pfn < end.Value;)
        {
            int aligned = pfn == 0 ? maxOrder : Math.Min(maxOrder, BitOperations.TrailingZeroCount(pfn));
            int order = Math.Min(aligned, BitOperations.Log2((ulong)(end.Value - pfn)));
            yield return (new Pfn(pfn), order);
            pfn += 1L << order;
        }
    }
}
