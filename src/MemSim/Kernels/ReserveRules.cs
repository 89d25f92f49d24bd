namespace MemSim.Kernels;

/// <summary>How a kernel computes watermarks, lowmem reserves and the limits of per-CPU lists.</summary>
public sealed record ReserveRules
{
    /// <summary>Whether the Movable zone's min watermark is clamped to 32..128 pages and takes no share of <c>min_free_kbytes</c> on every architecture, not only where it lies in high memory.</summary>
    public bool ClampsMovableMin { get; init; }

    /// <summary>
    /// The fraction of a zone that bounds its per-CPU lists from above when their limit moves between two bounds (<c>high_min</c>, <c>high_max</c>); 0 where
    /// the limit is fixed.
    /// </summary>
    public int PcpHighMaxFraction { get; init; }

    /// <summary>Whether the limit of the per-CPU lists moves with the load between <c>high_min</c> and <c>high_max</c>.</summary>
    public bool TunesPcpHigh => PcpHighMaxFraction != 0;

    /// <summary>Whether the lowmem reserve is recomputed whenever a zone gets pages, instead of staying what the boot computed (6.18).</summary>
    public bool LowmemReserveFollowsManaged { get; init; }

    /// <summary>The limit of the per-CPU lists in batches (6 before 5.14); 0 where it follows from the low watermark.</summary>
    public int PcpHighInBatches { get; init; }

    /// <summary>What four batches come to at most, in KiB: 1024, before 4.20 512.</summary>
    public int PcpBatchLimitKiB { get; init; } = 1024;

    /// <summary>Whether the distance of the watermarks is at least <c>watermark_scale_factor</c> of the zone, and high as far above low as low above min (4.6); before, low is min + min/4 and high min + min/2.</summary>
    public bool ScalesWatermarkDistance { get; init; } = true;

    /// <summary>Whether fragmentation raises watermarks for a while (<c>watermark_boost_factor</c>, 5.0).</summary>
    public bool BoostsWatermarks { get; init; } = true;

    /// <summary>Whether the batch of per-CPU lists of a zone whose pages were initialised late is that of its first part (before 5.4).</summary>
    public bool BatchMayBeOfFirstPart { get; init; }
}
