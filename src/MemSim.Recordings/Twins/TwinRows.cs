using System.Globalization;
using MemSim.Captures;
using MemSim.Kernels;

namespace MemSim.Recordings.Twins;

/// <summary>Puts captured figures beside computed ones.</summary>
internal static class TwinRows
{
    private const string OfFirstPart = "kernels before 5.4 keep the batch of that part of a zone that was initialised first";
    private const string Blank = "blanked out or missing in the capture";

    public static void Add(List<TwinRow> rows, string step, CapturedMachine captured, TwinState state)
    {
        ZoneInfoFile zoneInfo = captured.ZoneInfo;
        if (step == "base")
        {
            string computed = state.ComputedMinFreeKbytes.ToString(CultureInfo.InvariantCulture);
            rows.Add(Row(step, "min_free_kbytes", null, null, state.CapturedMinFreeKbytes, computed, state.MinFreeUnknown));
        }

        string? highUnknown = captured.CpuNodesKnown ? state.PcpHighUnknown : "the capture does not tell the CPUs' nodes";
        for (int i = 0; i < zoneInfo.Zones.Count; i++)
        {
            ZoneInfoZone zone = zoneInfo.Zones[i];
            ZoneReserve reserve = state.Figures.Zones[i];
            AddWatermarks(rows, step, zone, reserve, state.WatermarksUnknown);
            string protection = "(" + string.Join(", ", reserve.LowmemReserve) + ")";
            rows.Add(Compare(step, "protection", zone, null, zone.Protection is null ? null : "(" + string.Join(", ", zone.Protection) + ")", protection, state.ProtectionUnknown));
            foreach (CpuLayout cpu in captured.Layout.Cpus.Where(c => c.Online && zone.Present != 0).DistinctBy(c => c.Cpu))
            {
                ZoneInfoPageset pageset = zone.Pagesets.Find(p => p.Cpu == cpu.Cpu) ?? new ZoneInfoPageset(cpu.Cpu);
                KernelPersonality kernel = captured.Layout.Kernel;
                string? batchUnknown = state.BatchUnknown(i) ?? (kernel.Reserves.BatchMayBeOfFirstPart && pageset.Batch < reserve.PcpBatch ? OfFirstPart : null);
                AddHigh(rows, step, zone, pageset, reserve, kernel, kernel.Reserves.PcpHighInBatches != 0 ? batchUnknown : highUnknown);
                rows.Add(Row(step, "pcp batch", zone, pageset.Cpu, pageset.Batch, Text(reserve.PcpBatch), batchUnknown));
                rows.Add(Row(step, "stat threshold", zone, pageset.Cpu, pageset.StatThreshold, Text(reserve.StatThreshold), state.ThresholdUnknown(i)));
            }
        }
    }

    private static void AddWatermarks(List<TwinRow> rows, string step, ZoneInfoZone zone, ZoneReserve reserve, string? unknown)
    {
        // Zoneinfo adds the boost, which is a state of the machine like its free pages, to each watermark.
        long boost = zone.Boost ?? 0;
        rows.Add(Row(step, "min", zone, null, zone.Min, Text(reserve.Min + boost), unknown));
        rows.Add(Row(step, "low", zone, null, zone.Low, Text(reserve.Low + boost), unknown));
        rows.Add(Row(step, "high", zone, null, zone.High, Text(reserve.High + boost), unknown));
        if (zone.HasPromo)
        {
            rows.Add(Row(step, "promo", zone, null, zone.Promo, Text(reserve.Promo + boost), unknown));
        }
    }

    private static void AddHigh(List<TwinRow> rows, string step, ZoneInfoZone zone, ZoneInfoPageset pageset, ZoneReserve reserve, KernelPersonality kernel, string? unknown)
    {
        if (!kernel.Reserves.TunesPcpHigh)
        {
            rows.Add(Row(step, "pcp high", zone, pageset.Cpu, pageset.High, Text(reserve.PcpHighMin), unknown));
            return;
        }

        // A limit that moves with the load is no function of the layout. Not even its bounds refute it: it follows new ones only when the CPU next uses the zone.
        string bounds = $"{reserve.PcpHighMin}..{reserve.PcpHighMax}";
        rows.Add(Row(step, "pcp high", zone, pageset.Cpu, pageset.High, bounds, unknown ?? "moves with the load between the bounds computed"));
        if (pageset.HighMin is not null || pageset.HighMax is not null)
        {
            rows.Add(Row(step, "pcp high_min", zone, pageset.Cpu, pageset.HighMin, Text(reserve.PcpHighMin), unknown));
            rows.Add(Row(step, "pcp high_max", zone, pageset.Cpu, pageset.HighMax, Text(reserve.PcpHighMax), unknown));
        }
    }

    private static TwinRow Row(string step, string figure, ZoneInfoZone? zone, int? cpu, long? captured, string computed, string? unknown) =>
        Compare(step, figure, zone, cpu, captured is long value ? Text(value) : null, computed, unknown);

    private static TwinRow Compare(string step, string figure, ZoneInfoZone? zone, int? cpu, string? captured, string computed, string? unknown)
    {
        string? reason = captured is null ? Blank : unknown;
        TwinVerdict verdict = reason is not null ? TwinVerdict.NotComparable : captured == computed ? TwinVerdict.Match : TwinVerdict.Mismatch;
        return new TwinRow(step, figure, zone?.Node, zone?.Type.KernelName(), cpu, captured, computed, verdict, reason);
    }

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
