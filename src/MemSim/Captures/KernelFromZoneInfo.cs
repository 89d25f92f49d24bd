using MemSim.Kernels;

namespace MemSim.Captures;

/// <summary>How old the kernel is that wrote a zoneinfo which nothing names: by the lines it has, and by rules that its figures follow.</summary>
internal static class KernelFromZoneInfo
{
    /// <summary>The rules that fit, and why.</summary>
    public static KernelChoice Of(ZoneInfoFile file)
    {
        ZoneInfoMarks marks = file.Marks;
        (string version, string why) = marks.HasFlag(ZoneInfoMarks.RotatedPages) ? ("7.3", "zoneinfo counts pgrotate_anon, which came with 7.3")
            : marks.HasFlag(ZoneInfoMarks.GraphicsPages) ? ("7.1", "zoneinfo counts nr_gpu_active, which came with 7.1")
            : marks.HasFlag(ZoneInfoMarks.HighAtomic) ? ("7.0", "zoneinfo has free_highatomic, which came with 7.0")
            : marks.HasFlag(ZoneInfoMarks.HighBounds) ? ("6.18", "zoneinfo has high_min, which came after 6.12")
            : file.Zones.Any(z => z.HasPromo) ? ("6.12", "zoneinfo has the promo watermark, which came after 6.1")
            : marks.HasFlag(ZoneInfoMarks.HotAndCold) ? ("2.6", "CPUs have hot and cold lists, until 2.6.24")
            : !file.HasManaged ? ("3.8", "zoneinfo has no managed pages, which came with 3.9")
            : HighIsMinAndAHalf(file) ? ("4.5", "the high watermarks are min + min/2, the rule before 4.6")
            : (marks & (ZoneInfoMarks.AllocBatch | ZoneInfoMarks.AllUnreclaimable)) != 0 ? ("4.7", "zoneinfo has lines that 4.8 dropped")
            : LimitIsSixBatches(file, out int largest) ? largest > 31 ? ("5.13", "the limits of per-CPU lists are 6 x batch, the rule before 5.14") : ("4.19", "the limits of per-CPU lists are 6 x batch and no batch is above 31, the rules before 5.14 and 4.20")
            : ("6.1", "zoneinfo has no promo watermark");
        return KernelChoice.Unknown(KernelChoice.For(version).Line, why);
    }

    private static bool HighIsMinAndAHalf(ZoneInfoFile file)
    {
        List<ZoneInfoZone> zones = [.. file.Zones.Where(z => z is { Min: >= 8, High: not null })];
        return zones.Count != 0 && zones.TrueForAll(z => z.High == z.Min + (z.Min / 2) || z.High == z.Min + ((z.Min + 1) / 2)) && zones.Exists(z => z.High != z.Low + (z.Low - z.Min));
    }

    private static bool LimitIsSixBatches(ZoneInfoFile file, out int largest)
    {
        List<ZoneInfoPageset> pagesets = [.. file.Zones.SelectMany(z => z.Pagesets).Where(p => p is { Batch: > 1, High: not null })];
        largest = pagesets.Count == 0 ? 0 : (int)pagesets.Max(p => p.Batch!.Value);
        return pagesets.Count != 0 && pagesets.TrueForAll(p => p.High == 6 * p.Batch);
    }
}
