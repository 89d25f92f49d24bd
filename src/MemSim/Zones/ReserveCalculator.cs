using System.Numerics;
using MemSim.Kernels;
using MemSim.Zones;

namespace MemSim;

/// <summary>Computes watermarks, lowmem reserves, limits of per-CPU lists and counter thresholds as the kernel does, from the layout alone.</summary>
/// <remarks>
/// The kernel recomputes these figures at different moments, each from the page counts of that moment; the methods are those moments:
/// <see cref="SetupWatermarks"/> (writing <c>min_free_kbytes</c> or <c>watermark_scale_factor</c>), <see cref="SetupLowmemReserve"/> (reading or writing
/// <c>lowmem_reserve_ratio</c>), <see cref="UpdatePcp"/> (writing <c>percpu_pagelist_high_fraction</c>), <see cref="CpuChanged"/>,
/// <see cref="MemoryBlockChanged"/>, <see cref="Boot"/>. <see cref="Compute"/> does all at once.
/// </remarks>
public static class ReserveCalculator
{
    private const int SwapClusterMax = 32;
    private const int PcpTypes = 3;
    private const int MaxStatThreshold = 125;

    /// <summary>The figures a kernel has after everything was recomputed from one layout and the settings in force, <c>min_free_kbytes</c> among them.</summary>
    /// <param name="layout">The machine.</param>
    /// <param name="sysctls">The settings.</param>
    public static ReserveFigures Compute(ReserveLayout layout, VmSysctls sysctls)
    {
        var figures = new ReserveFigures(layout);
        SetupWatermarks(layout, sysctls, figures);
        RefreshStatThresholds(layout, figures);
        SetupLowmemReserve(layout, sysctls, figures);
        return figures;
    }

    /// <summary>
    /// The figures as the boot leaves them, with the <c>min_free_kbytes</c> the kernel chooses: from the square root of low memory, then once more when
    /// khugepaged is set up (machines of 512 MiB and more).
    /// </summary>
    /// <param name="layout">The machine with the pages managed when the initcalls ran: before the initramfs and the init sections were freed.</param>
    /// <param name="sysctls">The settings; its <c>min_free_kbytes</c> is set to the one chosen.</param>
    /// <param name="thp">Transparent huge pages as the kernel command line leaves them.</param>
    public static ReserveFigures Boot(ReserveLayout layout, VmSysctls sysctls, TransparentHugePages thp)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(sysctls);
        var figures = new ReserveFigures(layout);
        sysctls.SetMinFreeKbytesByKernel(InitialMinFreeKbytes(layout, figures));
        SetupWatermarks(layout, sysctls, figures);
        RefreshStatThresholds(layout, figures);
        SetupLowmemReserve(layout, sysctls, figures);

        if (thp != TransparentHugePages.Unavailable && HasKhugepaged(layout))
        {
            SetRecommendedMinFreeKbytes(layout, sysctls, figures, thp);
        }

        return figures;
    }

    /// <summary>Whether the machine is large enough for transparent huge pages: on one of less than 512 MiB the boot switches them off before it would look at <c>min_free_kbytes</c>.</summary>
    /// <param name="layout">The machine with the pages managed when the initcalls ran.</param>
    public static bool HasKhugepaged(ReserveLayout layout)
    {
        ArgumentNullException.ThrowIfNull(layout);
        return layout.TotalManagedPages >= 512L << (20 - PageGeometry.PageShift);
    }

    /// <summary>Recomputes what the kernel recomputes when a file of <c>/proc/sys/vm</c> was written (for <c>lowmem_reserve_ratio</c>: or read).</summary>
    /// <param name="name">The file.</param>
    /// <param name="layout">The machine.</param>
    /// <param name="sysctls">The settings, with the new value.</param>
    /// <param name="figures">The figures to change.</param>
    internal static void AfterWrite(string name, ReserveLayout layout, VmSysctls sysctls, ReserveFigures figures)
    {
        switch (name)
        {
            case VmSysctlTable.MinFreeKbytes or VmSysctlTable.WatermarkScaleFactor:
                SetupWatermarks(layout, sysctls, figures);
                break;
            case VmSysctlTable.PercpuPagelistHighFraction:
                UpdatePcp(layout, sysctls, figures);
                break;
            case VmSysctlTable.LowmemReserveRatio:
                SetupLowmemReserve(layout, sysctls, figures);
                break;
            default:
                // Nothing here derives from the other settings.
                break;
        }
    }

    /// <summary>The <c>min_free_kbytes</c> (KiB) of <c>init_per_zone_wmark_min()</c>: the square root of 16 times low memory in KiB, within 128..262144.</summary>
    /// <param name="layout">The machine.</param>
    /// <param name="figures">The figures so far: what is above a high watermark counts.</param>
    public static int InitialMinFreeKbytes(ReserveLayout layout, ReserveFigures figures) =>
        (int)Math.Clamp(IntSqrt(FreeBufferPages(layout, figures) * (PageGeometry.PageSize >> 10) * 16), 128, 262144);

    /// <summary>What happens to <c>min_free_kbytes</c> and the watermarks when khugepaged starts or stops: on, at least the recommended value; off, the initial one again.</summary>
    /// <param name="layout">The machine.</param>
    /// <param name="sysctls">The settings; <c>min_free_kbytes</c> is changed.</param>
    /// <param name="figures">The figures to change.</param>
    /// <param name="thp">Transparent huge pages.</param>
    internal static void SetRecommendedMinFreeKbytes(ReserveLayout layout, VmSysctls sysctls, ReserveFigures figures, TransparentHugePages thp)
    {
        ArgumentNullException.ThrowIfNull(sysctls);
        if (thp == TransparentHugePages.Never)
        {
            RecalculateMinFreeKbytes(layout, sysctls, figures);
        }
        else if (RecommendedMinFreeKbytes(layout, figures) is int recommended && recommended > sysctls.MinFreeKbytes)
        {
            sysctls.SetMinFreeKbytesByKernel(recommended);
        }

        SetupWatermarks(layout, sysctls, figures);
    }

    /// <summary>
    /// The <c>min_free_kbytes</c> (KiB) khugepaged asks for: enough page blocks in each zone that two are free and the types of pages need not mix, at most
    /// 5 % of the memory.
    /// </summary>
    /// <param name="layout">The machine.</param>
    /// <param name="figures">The figures so far: what is above a high watermark counts.</param>
    internal static int RecommendedMinFreeKbytes(ReserveLayout layout, ReserveFigures figures)
    {
        ArgumentNullException.ThrowIfNull(layout);
        int zones = layout.Zones.Count(z => z.IsPopulated && IsNormalOrLower(z.Type));
        long pages = (1L << layout.PageblockOrder) * zones * (2 + (PcpTypes * PcpTypes));
        pages = Math.Min(pages, FreeBufferPages(layout, figures) / 20);
        return (int)(pages << (PageGeometry.PageShift - 10));
    }

    /// <summary>Recomputes watermarks and per-CPU lists from <c>min_free_kbytes</c> and <c>watermark_scale_factor</c> (<c>setup_per_zone_wmarks()</c>).</summary>
    /// <param name="layout">The machine.</param>
    /// <param name="sysctls">The settings.</param>
    /// <param name="figures">The figures to change.</param>
    internal static void SetupWatermarks(ReserveLayout layout, VmSysctls sysctls, ReserveFigures figures)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(sysctls);
        ArgumentNullException.ThrowIfNull(figures);
        long pagesMin = sysctls.MinFreeKbytes >> (PageGeometry.PageShift - 10);
        long lowmemPages = 0;
        foreach (ZoneLayout zone in layout.Zones)
        {
            lowmemPages += layout.TakesShare(zone.Type) ? zone.ManagedPages : 0;
        }

        for (int i = 0; i < figures.Zones.Length; i++)
        {
            ZoneLayout zone = layout.Zones[i];
            ZoneReserve reserve = figures.Zones[i];
            long managed = zone.ManagedPages;

            // A zone's share of min_free_kbytes also sets the distance of its watermarks where its min is clamped instead.
            long share = lowmemPages == 0 ? 0 : (long)((UInt128)pagesMin * (ulong)managed / (ulong)lowmemPages);
            reserve.Min = layout.TakesShare(zone.Type) ? share : Math.Clamp(managed / 1024, SwapClusterMax, 128);
            bool scales = layout.Kernel.Reserves.ScalesWatermarkDistance;
            long distance = scales ? Math.Max(share >> 2, MultiplyFraction(managed, sysctls.WatermarkScaleFactor, 10000)) : share >> 2;
            reserve.Low = reserve.Min + distance;
            reserve.High = scales ? reserve.Low + distance : reserve.Min + (share >> 1);
            reserve.Promo = reserve.High + distance;
        }

        figures.MinFreeKbytes = sysctls.MinFreeKbytes;
        UpdatePcp(layout, sysctls, figures);
        UpdateTotalReserve(layout, figures);
    }

    /// <summary>Recomputes batch and limits of the per-CPU lists (<c>zone_pcp_update()</c>).</summary>
    /// <param name="layout">The machine.</param>
    /// <param name="sysctls">The settings.</param>
    /// <param name="figures">The figures to change; their low watermarks are read.</param>
    /// <param name="arrivingCpus">1 while a CPU comes up: it is counted for every zone, on whatever node.</param>
    public static void UpdatePcp(ReserveLayout layout, VmSysctls sysctls, ReserveFigures figures, int arrivingCpus = 0)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(sysctls);
        ArgumentNullException.ThrowIfNull(figures);
        int fraction = sysctls.PercpuPagelistHighFraction;
        for (int i = 0; i < figures.Zones.Length; i++)
        {
            ZoneLayout zone = layout.Zones[i];
            ZoneReserve reserve = figures.Zones[i];
            if (!zone.IsPopulated)
            {
                continue;
            }

            int cpus = layout.OnlineCpusOf(zone.Node) + arrivingCpus;
            if (cpus == 0)
            {
                cpus = layout.OnlineCpus;
            }

            ReserveRules rules = layout.Kernel.Reserves;
            int batch = PcpBatchOf(zone.ManagedPages, rules);
            reserve.PcpBatch = Math.Max(1, batch);
            reserve.PcpHighMin = HighOf(fraction);
            reserve.PcpHighMax = rules.TunesPcpHigh && fraction == 0 ? HighOf(rules.PcpHighMaxFraction) : reserve.PcpHighMin;

            int HighOf(int divisor)
            {
                if (divisor == 0 && rules.PcpHighInBatches != 0)
                {
                    return rules.PcpHighInBatches * batch;
                }

                long pages = divisor == 0 ? reserve.Low : zone.ManagedPages / divisor;
                return (int)Math.Max(pages / cpus, reserve.PcpBatch * 4L);
            }
        }
    }

    /// <summary>Recomputes the thresholds of the per-CPU counters (<c>refresh_zone_stat_thresholds()</c>).</summary>
    /// <param name="layout">The machine.</param>
    /// <param name="figures">The figures to change; their watermarks are read.</param>
    internal static void RefreshStatThresholds(ReserveLayout layout, ReserveFigures figures)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(figures);
        for (int i = 0; i < figures.Zones.Length; i++)
        {
            ZoneLayout zone = layout.Zones[i];
            ZoneReserve reserve = figures.Zones[i];
            if (!zone.IsPopulated)
            {
                continue;
            }

            reserve.StatThreshold = StatThresholdOf(zone.ManagedPages, layout.OnlineCpus);
            reserve.PressureStatThreshold = (int)Math.Clamp((reserve.Low - reserve.Min) / layout.OnlineCpus, 1, MaxStatThreshold);
            long drift = (long)layout.OnlineCpus * reserve.StatThreshold;
            reserve.DriftMark = drift > reserve.Low - reserve.Min ? reserve.High + drift : 0;
        }
    }

    /// <summary>Recomputes what lower zones keep back from requests that could use higher ones (<c>setup_per_zone_lowmem_reserve()</c>).</summary>
    /// <param name="layout">The machine.</param>
    /// <param name="sysctls">The settings.</param>
    /// <param name="figures">The figures to change.</param>
    internal static void SetupLowmemReserve(ReserveLayout layout, VmSysctls sysctls, ReserveFigures figures)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(sysctls);
        ArgumentNullException.ThrowIfNull(figures);
        for (int i = 0; i < figures.Zones.Length; i++)
        {
            ZoneLayout zone = layout.Zones[i];
            long[] reserve = figures.Zones[i].LowmemReserve;
            int index = layout.IndexOf(zone.Type);
            int ratio = sysctls.LowmemReserveRatio(index);
            long above = 0;
            for (int j = index + 1; j < reserve.Length; j++)
            {
                above += ManagedPages(layout, zone.Node, layout.ZoneTypes[j]);
                reserve[j] = ratio == 0 || zone.ManagedPages == 0 ? 0 : above / ratio;
            }
        }

        UpdateTotalReserve(layout, figures);
    }

    /// <summary>Recomputes what changes when a CPU has gone offline or has come up.</summary>
    /// <param name="layout">The machine with the CPU in its new state.</param>
    /// <param name="sysctls">The settings.</param>
    /// <param name="figures">The figures to change.</param>
    /// <param name="cpu">The number of the CPU.</param>
    /// <remarks>The per-CPU lists are computed before a CPU that comes up belongs to its node, and count it for every node: two nodes' zones get a smaller limit than their CPUs alone would give.</remarks>
    public static void CpuChanged(ReserveLayout layout, VmSysctls sysctls, ReserveFigures figures, int cpu)
    {
        ArgumentNullException.ThrowIfNull(layout);
        bool arrived = layout.Cpus.Any(c => c.Cpu == cpu && c.Online) && layout.OnlineCpus > 1;
        if (arrived)
        {
            ReserveLayout before = layout.WithCpus([.. layout.Cpus.Select(c => c.Cpu == cpu ? c with { Online = false } : c)]);
            UpdatePcp(before, sysctls, figures, arrivingCpus: 1);
        }
        else
        {
            UpdatePcp(layout, sysctls, figures);
        }

        RefreshStatThresholds(layout, figures);
    }

    /// <summary>Recomputes everything after a block of memory went offline or came online (<c>init_per_zone_wmark_min()</c>).</summary>
    /// <param name="layout">The machine as it is now.</param>
    /// <param name="sysctls">The settings; <c>min_free_kbytes</c> is changed unless the user chose a larger one.</param>
    /// <param name="figures">The figures to change.</param>
    /// <param name="thp">Transparent huge pages.</param>
    public static void MemoryBlockChanged(ReserveLayout layout, VmSysctls sysctls, ReserveFigures figures, TransparentHugePages thp)
    {
        RecalculateMinFreeKbytes(layout, sysctls, figures);
        SetupWatermarks(layout, sysctls, figures);
        RefreshStatThresholds(layout, figures);
        SetupLowmemReserve(layout, sysctls, figures);
        if (thp is TransparentHugePages.Madvise or TransparentHugePages.Always)
        {
            SetRecommendedMinFreeKbytes(layout, sysctls, figures, thp);
        }
    }

    /// <summary>The batch of the per-CPU lists of a zone in pages: a quarter of its 1024th part, at most 256, made a power of two less one; 0 for small zones.</summary>
    /// <param name="managedPages">The pages the zone manages.</param>
    /// <param name="rules">The kernel's rules, those of 6.1 where null: older ones stop at 128.</param>
    public static int PcpBatchOf(long managedPages, ReserveRules? rules = null)
    {
        int limitKiB = (rules ?? KernelLines.Linux6_1.Reserves).PcpBatchLimitKiB;
        int batch = (int)Math.Min(managedPages >> 10, (limitKiB << 10) / PageGeometry.PageSize) / 4;
        batch = Math.Max(batch, 1);
        return (1 << BitOperations.Log2((uint)(batch + (batch / 2)))) - 1;
    }

    /// <summary>The threshold of the per-CPU counters of a zone: grows with the logarithms of the CPUs and of the memory, at most 125.</summary>
    /// <param name="managedPages">The pages the zone manages.</param>
    /// <param name="onlineCpus">The CPUs online.</param>
    public static int StatThresholdOf(long managedPages, int onlineCpus)
    {
        int units = BitLength((ulong)managedPages >> (27 - PageGeometry.PageShift));
        return Math.Min(2 * BitLength((ulong)onlineCpus) * (1 + units), MaxStatThreshold);
    }

    private static void RecalculateMinFreeKbytes(ReserveLayout layout, VmSysctls sysctls, ReserveFigures figures)
    {
        // A value the user has written stays, unless the kernel's own is larger.
        long free = FreeBufferPages(layout, figures) * (PageGeometry.PageSize >> 10);
        if (IntSqrt(free * 16) > sysctls.UserMinFreeKbytes)
        {
            sysctls.SetMinFreeKbytesByKernel(InitialMinFreeKbytes(layout, figures));
        }
    }

    private static void UpdateTotalReserve(ReserveLayout layout, ReserveFigures figures)
    {
        figures.TotalReservePages = 0;
        for (int i = 0; i < figures.Zones.Length; i++)
        {
            ZoneReserve zone = figures.Zones[i];
            long most = 0;
            for (int j = layout.IndexOf(layout.Zones[i].Type); j < zone.LowmemReserve.Length; j++)
            {
                most = Math.Max(most, zone.LowmemReserve[j]);
            }

            zone.TotalReservePages = Math.Min(most + zone.High, layout.Zones[i].ManagedPages);
            figures.TotalReservePages += zone.TotalReservePages;
        }
    }

    private static long FreeBufferPages(ReserveLayout layout, ReserveFigures figures)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(figures);
        long pages = 0;
        for (int i = 0; i < figures.Zones.Length; i++)
        {
            if (IsNormalOrLower(layout.Zones[i].Type))
            {
                pages += Math.Max(layout.Zones[i].ManagedPages - figures.Zones[i].High, 0);
            }
        }

        return pages;
    }

    private static long ManagedPages(ReserveLayout layout, int node, ZoneType type)
    {
        foreach (ZoneLayout zone in layout.Zones)
        {
            if (zone.Node == node && zone.Type == type)
            {
                return zone.ManagedPages;
            }
        }

        return 0;
    }

    private static bool IsNormalOrLower(ZoneType type) => type <= ZoneType.Normal;

    private static int BitLength(ulong value) => 64 - BitOperations.LeadingZeroCount(value);

    private static long MultiplyFraction(long value, long numerator, long denominator) =>
        (value / denominator * numerator) + (value % denominator * numerator / denominator);

    private static long IntSqrt(long value)
    {
        long root = (long)Math.Sqrt(value);
        while (root * root > value)
        {
            root--;
        }

        while ((root + 1) * (root + 1) <= value)
        {
            root++;
        }

        return root;
    }
}
