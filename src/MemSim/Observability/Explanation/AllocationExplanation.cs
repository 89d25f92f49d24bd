using System.Globalization;
using System.Text;

namespace MemSim;

/// <summary>Why a request for pages succeeds or fails at this moment, and what would make it succeed (<see cref="Machine.Explain"/>).</summary>
public sealed class AllocationExplanation
{
    internal AllocationExplanation(Gfp gfp, int order, Cpu cpu, string attempt, bool wouldSucceed, IReadOnlyList<ZoneExplanation> zones, IReadOnlyList<string> hints)
    {
        Gfp = gfp;
        Order = order;
        Cpu = cpu;
        Attempt = attempt;
        WouldSucceed = wouldSucceed;
        Zones = zones;
        Hints = hints;
    }

    /// <summary>The request's flags as the context of the CPU and the scopes of its task leave them.</summary>
    public Gfp Gfp { get; }

    /// <summary>log2 of the pages asked for.</summary>
    public int Order { get; }

    /// <summary>The CPU the request is made on.</summary>
    public Cpu Cpu { get; }

    /// <summary>The attempt that is explained: the first that succeeds, or the last and most privileged one when all fail.</summary>
    public string Attempt { get; }

    /// <summary>Whether the request would succeed without reclaim or compaction.</summary>
    public bool WouldSucceed { get; }

    /// <summary>The zones the request may use, in the order in which they are tried, with the check of that attempt.</summary>
    public IReadOnlyList<ZoneExplanation> Zones { get; }

    /// <summary>What would have saved a request that fails, one sentence each; empty for one that succeeds.</summary>
    public IReadOnlyList<string> Hints { get; }

    /// <summary>The explanation as text of several lines.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"order:{Order}, mode:{GfpText.FormatWithHex(Gfp)} on CPU {Cpu.Id}: {(WouldSucceed ? "succeeds" : "fails")} ({Attempt})\n");
        foreach (ZoneExplanation zone in Zones)
        {
            text.Append(zone).Append('\n');
        }

        foreach (string hint in Hints)
        {
            text.Append("hint: ").Append(hint).Append('\n');
        }

        return text.ToString();
    }
}

/// <summary>The watermark check of one zone for one request, term by term, in pages. It passes when <c>Free - Unusable &gt; Limit + Reserve</c> and, for an order above 0, a large enough block is free.</summary>
public sealed record ZoneExplanation
{
    /// <summary>The zone.</summary>
    public required Zone Zone { get; init; }

    /// <summary>The watermark checked against; null for a request that may ignore watermarks.</summary>
    public required Watermark? Watermark { get; init; }

    /// <summary>The watermark without boost.</summary>
    public required long Mark { get; init; }

    /// <summary>What fragmentation has added to it.</summary>
    public required long Boost { get; init; }

    /// <summary>What the rights of the request leave of watermark and boost.</summary>
    public required long Limit { get; init; }

    /// <summary>Pages kept back from requests that could use higher zones (<c>lowmem_reserve</c>).</summary>
    public required long Reserve { get; init; }

    /// <summary>Free pages as the check reads them.</summary>
    public required long Free { get; init; }

    /// <summary>Free pages that do not count: all but one of the block itself, the high-order atomic reserve, CMA's for those who may not use them.</summary>
    public required long Unusable { get; init; }

    /// <summary>The part of <see cref="Unusable"/> that is the block itself but for one page.</summary>
    public required long UnusableForOrder { get; init; }

    /// <summary>The part of <see cref="Unusable"/> that is CMA's.</summary>
    public required long UnusableCma { get; init; }

    /// <summary>The part of <see cref="Unusable"/> that is reserved for atomic requests of order 1 and more.</summary>
    public long UnusableHighAtomic => Unusable - UnusableForOrder - UnusableCma;

    /// <summary>Free blocks by order, of the order asked for or larger, that are of type HighAtomic while the request may not take them.</summary>
    public required IReadOnlyList<long> HighAtomicBlocks { get; init; }

    /// <summary>Free blocks by order, of the order asked for or larger, that are CMA's while the request may not take them.</summary>
    public required IReadOnlyList<long> CmaBlocks { get; init; }

    /// <summary>The blocks that are large enough and of a type the request may not take, in words; empty for none.</summary>
    public string HiddenBlocks
    {
        get
        {
            List<string> parts = [];
            foreach ((IReadOnlyList<long> blocks, string type) in ((IReadOnlyList<long>, string)[])[(HighAtomicBlocks, "HighAtomic"), (CmaBlocks, "CMA")])
            {
                for (int order = 0; order < blocks.Count; order++)
                {
                    if (blocks[order] != 0)
                    {
                        parts.Add(string.Create(CultureInfo.InvariantCulture, $"{blocks[order]} {(blocks[order] == 1 ? "block" : "blocks")} of order {order} {(blocks[order] == 1 ? "is" : "are")} free, of type {type}, which this request may not use"));
                    }
                }
            }

            return string.Join("; ", parts);
        }
    }

    /// <summary>Free blocks of each order, 0 to <see cref="PageGeometry.MaxOrder"/>, in lists the request may take from.</summary>
    public required IReadOnlyList<long> UsableBlocks { get; init; }

    /// <summary>Pages in all CPUs' lists of the zone: neither free in the eyes of the check nor in use.</summary>
    public required long PerCpuPages { get; init; }

    /// <summary>Whether a block of the order or a larger one is in such a list.</summary>
    public required bool HasBlock { get; init; }

    /// <summary>Whether the zone passes the allocator's own check.</summary>
    public required bool Passes { get; init; }

    /// <summary>Whether the pages suffice, be there a block or not.</summary>
    public bool HasEnoughPages => Watermark is null || Free - Unusable > Limit + Reserve;

    /// <summary>The check as one line.</summary>
    public override string ToString()
    {
        string mark = Watermark is { } watermark
            ? string.Create(CultureInfo.InvariantCulture, $"free {Free} - unusable {Unusable}{Parts()} {(HasEnoughPages ? ">" : "<=")} limit {Limit} (of {watermark.ToString().ToLowerInvariant()} {Mark} + boost {Boost}) + reserve {Reserve}")
            : string.Create(CultureInfo.InvariantCulture, $"free {Free}, watermarks ignored");
        int largest = PageGeometry.MaxOrder;
        while (largest >= 0 && UsableBlocks[largest] == 0)
        {
            largest--;
        }

        string blocks = largest < 0 ? "no usable block at all" : string.Create(CultureInfo.InvariantCulture, $"largest usable block of order {largest}");
        string hidden = HasBlock ? "" : HiddenBlocks;
        string verdict = Passes ? "passes"
            : HasEnoughPages && hidden.Length != 0 ? hidden
            : HasEnoughPages ? HasBlock ? "enough pages, but too few once the blocks of lower orders are left out" : "enough pages but no block large enough"
            : hidden.Length != 0 ? $"too few pages; {hidden}"
            : HasBlock ? "a block is there but too few pages are free" : "too few pages and no block";
        return $"{Zone}: {mark}; {blocks}: {verdict}";
    }

    private string Parts() => UnusableHighAtomic == 0 && UnusableCma == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $" (order {UnusableForOrder}, highatomic {UnusableHighAtomic}, CMA {UnusableCma})");
}
