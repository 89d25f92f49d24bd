namespace MemSim.Kernels;

/// <summary>Compressed memory: zsmalloc, zram, zswap, and pages of zeroes in swap.</summary>
public sealed record CompressedMemoryRules
{
    /// <summary>Whether blocks of zsmalloc have up to eight frames, chosen for the fewest bytes wasted, and are grouped by tenths of use (6.3); else up to four frames and four groups.</summary>
    public bool ZspagesChain { get; init; }

    /// <summary>Whether a page of zeroes needs but a bit of its slot (6.12); before, zswap keeps pages of one repeated word without compressing them.</summary>
    public bool ZeroPagesAreBits { get; init; }

    /// <summary>Whether zswap keeps its pages in order by cgroup, gives a page up when it is read, writes back only what was not used since the last look, and can shrink by itself (6.8); before, its pool writes back, a frame at a time.</summary>
    public bool ZswapByCgroup { get; init; }

    /// <summary>Whether zswap, once it is full, is shrunk until it takes pages again (6.5); before, by a frame for each time that it was met full (6.1: 11 pages written back for 3,637 times).</summary>
    public bool ZswapShrinksUntilItAccepts { get; init; }

    /// <summary>Whether zswap can use other pools than zsmalloc (until 6.17).</summary>
    public bool ZswapChoosesPool { get; init; } = true;

    /// <summary>Whether zswap keeps a page that does not compress, as it is (6.18); before, it goes to the disk.</summary>
    public bool ZswapKeepsIncompressible { get; init; }

    /// <summary>Whether zram counts requests that are not of whole pages (6.1); later it prints 0.</summary>
    public bool ZramCountsInvalid { get; init; } = true;
}
