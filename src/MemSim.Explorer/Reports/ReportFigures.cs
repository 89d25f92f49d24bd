using System.Globalization;
using MemSim.Kernels;
using MemSim.Reports;

namespace MemSim.Explorer.Reports;

/// <summary>Watermarks and reserves of one zone of a report, as printed or as the kernel would compute them from changed settings. In pages.</summary>
/// <param name="Min">The watermark min, without boost.</param>
/// <param name="Low">The watermark low, without boost.</param>
/// <param name="High">The watermark high, without boost.</param>
/// <param name="Boost">What is added to each.</param>
/// <param name="Reserve">What is kept back from requests that could use higher zones, by kernel index.</param>
public sealed record ZoneFigures(long Min, long Low, long High, long Boost, long[] Reserve);

/// <summary>Turns a report's figures and changed settings into figures: by <see cref="ReserveCalculator"/>, from the managed pages printed.</summary>
public static class ReportFigures
{
    private const int ReserveSlots = 8;

    /// <summary>The architecture whose zones these are.</summary>
    public static Architecture ArchitectureOf(IEnumerable<ReportedZone> zones)
    {
        ArgumentNullException.ThrowIfNull(zones);
        return zones.Any(z => z.Name == "HighMem") ? Architecture.X86_32 : Architecture.X86_64;
    }

    /// <summary>The <c>min_free_kbytes</c> that the watermarks printed add up to, in KiB.</summary>
    public static int MinFreeKiB(IEnumerable<ReportedZone> zones)
    {
        ArgumentNullException.ThrowIfNull(zones);
        return (int)zones.Where(z => z.Name is not ("HighMem" or "Movable")).Sum(z => Math.Max(0, (z.KiB("min") ?? 0) - (z.KiB("boost") ?? 0)));
    }

    /// <summary>The figures of each zone that has memory, in the report's order.</summary>
    /// <param name="zones">The zones that have memory.</param>
    /// <param name="knobs">What is changed.</param>
    /// <param name="grows">The zone that added memory goes to.</param>
    /// <param name="kernel">Whose rules they are computed by.</param>
    public static ZoneFigures[] Of(IReadOnlyList<ReportedZone> zones, ReportKnobs knobs, ReportedZone grows, KernelPersonality? kernel = null)
    {
        ArgumentNullException.ThrowIfNull(zones);
        ArgumentNullException.ThrowIfNull(knobs);
        ZoneFigures[] printed = [.. zones.Select(Printed)];
        bool marks = knobs.MinFreeKiB is not null || knobs.WatermarkScaleFactor is not null;
        bool reserves = knobs.LowmemReserveRatio is not null || knobs.MoreMiB > 0;
        if (marks || reserves)
        {
            ZoneReserve[] computed = Compute(zones, knobs, grows, kernel ?? KernelLines.Linux6_1);
            for (int i = 0; i < printed.Length; i++)
            {
                ZoneReserve figures = computed[i];
                printed[i] = marks ? printed[i] with { Min = figures.Min, Low = figures.Low, High = figures.High } : printed[i];
                printed[i] = reserves ? printed[i] with { Reserve = Slots(figures.LowmemReserve) } : printed[i];
            }
        }

        return knobs.WatermarkBoostFactor is { } factor ? [.. printed.Select(f => f with { Boost = Math.Min(f.Boost, f.High * factor / 10_000) })] : printed;
    }

    private static ZoneFigures Printed(ReportedZone zone)
    {
        long boost = (zone.KiB("boost") ?? 0) / 4;
        long min = ((zone.KiB("min") ?? 0) / 4) - boost;
        return new ZoneFigures(min, min + (((zone.KiB("low") ?? 0) - (zone.KiB("min") ?? 0)) / 4), min + (((zone.KiB("high") ?? 0) - (zone.KiB("min") ?? 0)) / 4), boost, Slots(zone.LowmemReserve ?? []));
    }

    private static ZoneReserve[] Compute(IReadOnlyList<ReportedZone> zones, ReportKnobs knobs, ReportedZone grows, KernelPersonality kernel)
    {
        ArchitectureInfo architecture = ArchitectureInfo.Of(ArchitectureOf(zones));
        List<ZoneLayout> layout = [];
        Dictionary<ReportedZone, int> places = [];
        foreach (int node in zones.Select(z => z.Node).Distinct().Order())
        {
            foreach (ZoneType type in architecture.ZoneTypes)
            {
                ReportedZone? zone = zones.FirstOrDefault(z => z.Node == node && ZoneTypeNames.TryParse(z.Name, out ZoneType named) && named == type);
                long managed = zone is null ? 0 : ManagedPages(zone) + (ReferenceEquals(zone, grows) ? knobs.MoreMiB * 256L : 0);
                if (zone is not null)
                {
                    places[zone] = layout.Count;
                }

                layout.Add(new ZoneLayout(node, type, 0, managed, managed, managed));
            }
        }

        VmSysctls settings = new(architecture.ZoneTypes);
        Set(settings, "min_free_kbytes", knobs.MinFreeKiB ?? MinFreeKiB(zones));
        Set(settings, "watermark_scale_factor", knobs.WatermarkScaleFactor ?? settings.WatermarkScaleFactor);
        if (knobs.LowmemReserveRatio is { } ratio)
        {
            Write(settings, "lowmem_reserve_ratio", string.Create(CultureInfo.InvariantCulture, $"{ratio} {(architecture.ZoneTypes.Contains(ZoneType.HighMem) ? ratio / 8 : ratio)}"));
        }

        ReserveFigures figures = ReserveCalculator.Compute(new ReserveLayout(architecture, kernel, layout, [new CpuLayout(0, zones[0].Node)]), settings);
        return [.. zones.Select(z => figures.Zones[places[z]])];
    }

    private static void Set(VmSysctls settings, string name, int value) => Write(settings, name, value.ToString(CultureInfo.InvariantCulture));

    private static void Write(VmSysctls settings, string name, string text)
    {
        if (!settings.TrySet(name, text, out string? error))
        {
            throw new InvalidOperationException($"vm.{name} = {text}: {error}");
        }
    }

    private static long[] Slots(IReadOnlyList<long> reserve) => [.. Enumerable.Range(0, ReserveSlots).Select(i => i < reserve.Count ? reserve[i] : 0)];

    private static long ManagedPages(ReportedZone zone) => (zone.KiB("managed") ?? zone.KiB("present") ?? 0) / 4;
}
