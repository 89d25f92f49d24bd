namespace MemSim;

/// <summary>What the kernel derives for one zone from the machine's layout and its settings. All in pages.</summary>
public sealed class ZoneReserve
{
    internal ZoneReserve(int zoneTypes)
    {
        LowmemReserve = new long[zoneTypes];
    }

    /// <summary>The min watermark, without boost.</summary>
    public long Min { get; internal set; }

    /// <summary>The low watermark, without boost: below it kswapd is woken.</summary>
    public long Low { get; internal set; }

    /// <summary>The high watermark, without boost: from it on kswapd sleeps.</summary>
    public long High { get; internal set; }

    /// <summary>The promo watermark, without boost.</summary>
    public long Promo { get; internal set; }

    /// <summary>Pages kept back from a request whose highest usable zone has the kernel index of the position (<c>protection:</c> in zoneinfo).</summary>
    public long[] LowmemReserve { get; }

    /// <summary>From this many pages on a free drains the CPU's lists; the lower bound where the limit moves (6.12: <c>high_min</c>).</summary>
    public int PcpHighMin { get; internal set; }

    /// <summary>The upper bound of that limit (6.12: <c>high_max</c>); equal to <see cref="PcpHighMin"/> where it does not move.</summary>
    public int PcpHighMax { get; internal set; }

    /// <summary>Pages moved between a CPU's lists and the free lists at a time.</summary>
    public int PcpBatch { get; internal set; } = 1;

    /// <summary>How large a CPU's unfolded part of a counter may become (<c>vm stats threshold</c>).</summary>
    public int StatThreshold { get; internal set; }

    /// <summary>The threshold in force while kswapd of the node reclaims.</summary>
    public int PressureStatThreshold { get; internal set; }

    /// <summary>Below this many free pages the unfolded parts are added up exactly (<c>percpu_drift_mark</c>); 0 where they cannot matter.</summary>
    public long DriftMark { get; internal set; }

    /// <summary>What the zone contributes to <see cref="ReserveFigures.TotalReservePages"/>.</summary>
    public long TotalReservePages { get; internal set; }
}

/// <summary>The derived figures of a machine: one entry a zone, in the order of <see cref="ReserveLayout.Zones"/>.</summary>
public sealed class ReserveFigures
{
    /// <summary>Figures as they are before the kernel computes any: no watermarks, per-CPU lists as set up for the boot.</summary>
    /// <param name="layout">The machine.</param>
    public ReserveFigures(ReserveLayout layout)
    {
        ArgumentNullException.ThrowIfNull(layout);
        Zones = new ZoneReserve[layout.Zones.Count];
        for (int i = 0; i < Zones.Length; i++)
        {
            Zones[i] = new ZoneReserve(layout.ZoneTypes.Count);
        }
    }

    /// <summary>The figures of each zone.</summary>
    public ZoneReserve[] Zones { get; }

    /// <summary>The <c>min_free_kbytes</c> (KiB) from which the watermarks were computed.</summary>
    public int MinFreeKbytes { get; internal set; }

    /// <summary>Pages that user space cannot count on (<c>totalreserve_pages</c>).</summary>
    public long TotalReservePages { get; internal set; }
}
