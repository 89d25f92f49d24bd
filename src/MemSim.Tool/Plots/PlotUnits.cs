namespace MemSim.Tool.Plots;

/// <summary>Units and lines that several plots have.</summary>
internal static class PlotUnits
{
    private const double PagesPerMiB = (1 << 20) >> PageGeometry.PageShift;

    /// <summary>Pages as MiB, to a hundredth of a page.</summary>
    public static double MiB(long pages) => Math.Round(pages / PagesPerMiB, 5);

    /// <summary>The three watermarks of a zone.</summary>
    public static IReadOnlyList<PlotLevel> Watermarks(Zone zone) =>
    [
        new("high", "high", MiB(zone.GetWatermarkPages(Watermark.High)), "#2ca02c"),
        new("low", "low", MiB(zone.GetWatermarkPages(Watermark.Low)), "#e08a00"),
        new("min", "min", MiB(zone.GetWatermarkPages(Watermark.Min)), "#d62728"),
    ];
}
