namespace MemSim.Explorer.Reports;

/// <summary>What a reader changes about a request and its machine, to see whether it would have passed. A setting that is null stays what the report shows.</summary>
/// <param name="Order">The order asked for.</param>
/// <param name="Gfp">The flags.</param>
public sealed record ReportKnobs(int Order, Gfp Gfp)
{
    /// <summary><c>vm.min_free_kbytes</c>, in KiB: watermarks are computed anew.</summary>
    public int? MinFreeKiB { get; init; }

    /// <summary><c>vm.watermark_scale_factor</c>, in 10000ths of a zone: watermarks are computed anew.</summary>
    public int? WatermarkScaleFactor { get; init; }

    /// <summary><c>vm.watermark_boost_factor</c>, in 10000ths of the high watermark: how far the boost printed could have come.</summary>
    public int? WatermarkBoostFactor { get; init; }

    /// <summary><c>vm.lowmem_reserve_ratio</c> of zones DMA and DMA32 (of a 32-bit machine's Normal an eighth): reserves are computed anew.</summary>
    public int? LowmemReserveRatio { get; init; }

    /// <summary><c>vm.percpu_pagelist_high_fraction</c>: what lists of CPUs hold beyond that part of a zone is free.</summary>
    public int? PercpuPagelistHighFraction { get; init; }

    /// <summary>Memory added to the largest zone, in MiB, all of it free.</summary>
    public int MoreMiB { get; init; }

    /// <summary>Anonymous memory that went to a swap device, in MiB: its pages are free, one by one.</summary>
    public int SwapMiB { get; init; }

    /// <summary>How much of the contiguous areas' free memory stays theirs, in percent; the rest is like any other movable memory.</summary>
    public int CmaPercent { get; init; } = 100;
}

/// <summary>What the machine did with a request.</summary>
/// <param name="Passes">Whether it got its block.</param>
/// <param name="Zone">From which zone; empty where it failed.</param>
/// <param name="Zones">The checks, zone by zone.</param>
public sealed record KnobResult(bool Passes, string Zone, IReadOnlyList<ZoneExplanation> Zones);
