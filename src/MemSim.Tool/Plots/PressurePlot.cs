namespace MemSim.Tool.Plots;

/// <summary>Makes a plot of a run short of memory: free memory against the watermarks, what is on the LRU lists below.</summary>
internal static class PressurePlot
{
    /// <summary>Samples of the lists, which change slowly.</summary>
    private const int ListSamples = 400;

    private static readonly (string Id, string Name, string Color, Func<PressureSample, long> Pages)[] Lists =
    [
        ("inactive-file", "inactive file", "#9ecae1", s => s.InactiveFile),
        ("active-file", "active file", "#3182bd", s => s.ActiveFile),
        ("inactive-anon", "inactive anon", "#fdae6b", s => s.InactiveAnon),
        ("active-anon", "active anon", "#e6550d", s => s.ActiveAnon),
    ];

    private static readonly (PressureMarkKind Kind, string Id, string Name, string Color, PlotKind Shape)[] MarkKinds =
    [
        (PressureMarkKind.KswapdWakes, "kswapd-wakes", "kswapd wakes", "#d62728", PlotKind.DownMark),
        (PressureMarkKind.KswapdSleeps, "kswapd-sleeps", "kswapd sleeps", "#2ca02c", PlotKind.UpMark),
        (PressureMarkKind.DirectReclaim, "direct-reclaim", "direct reclaim", "#7b3294", PlotKind.TickMark),
        (PressureMarkKind.AtomicFails, "atomic-fails", "GFP_ATOMIC fails", "#000000", PlotKind.CrossMark),
    ];

    /// <summary>Free memory of the zone alone.</summary>
    public static Plot Watermarks(PressureRun run) => Of(run, "Free memory and the watermarks", [Free(run)]);

    /// <summary>Free memory of the zone, the LRU lists and swap below.</summary>
    public static Plot Reclaim(PressureRun run) => Of(run, "Reclaim at work", [Free(run), OfLists(run)]);

    private static Plot Of(PressureRun run, string title, IReadOnlyList<PlotPanel> panels) => new(
        title,
        $"zone {run.Zone.Name}, {run.Zone.ManagedPages} pages; min {run.Zone.GetWatermark(Watermark.Min)}, low {run.Zone.GetWatermark(Watermark.Low)}, high {run.Zone.GetWatermark(Watermark.High)} pages",
        "memory asked for, MiB",
        PlotUnits.MiB(run.Asked),
        [.. run.Phases.Select(p => new PlotPhase(PlotUnits.MiB(p.Asked), p.Name))],
        panels);

    private static PlotPanel Free(PressureRun run)
    {
        List<PlotSeries> series = [new("free", "free", PlotKind.Line, "#1f3b73", [.. run.Samples.Select(s => new PlotPoint(PlotUnits.MiB(s.Asked), PlotUnits.MiB(s.Free)))])];
        foreach ((PressureMarkKind kind, string id, string name, string color, PlotKind shape) in MarkKinds)
        {
            PlotPoint[] marks = [.. run.Marks.Where(m => m.Kind == kind).Select(m => new PlotPoint(PlotUnits.MiB(m.Asked), PlotUnits.MiB(m.Free)))];
            if (marks.Length != 0)
            {
                series.Add(new PlotSeries(id, name, shape, color, marks));
            }
        }

        return new PlotPanel("free, MiB", PlotUnits.MiB(run.Zone.GetWatermark(Watermark.High)) * 1.6, series, PlotUnits.Watermarks(run.Zone));
    }

    private static PlotPanel OfLists(PressureRun run)
    {
        PressureSample[] samples = [.. run.Samples.GroupBy(s => s.Asked * ListSamples / run.Asked).Select(g => g.Last())];
        double top = samples.Max(s => PlotUnits.MiB(Math.Max(s.SwapUsed, s.ActiveAnon + s.InactiveAnon + s.ActiveFile + s.InactiveFile)));
        IReadOnlyList<PlotPoint> Points(Func<PressureSample, long> pages) => [.. samples.Select(s => new PlotPoint(PlotUnits.MiB(s.Asked), PlotUnits.MiB(pages(s))))];
        return new PlotPanel(
            "lists, MiB",
            top * 1.08,
            [.. Lists.Select(l => new PlotSeries(l.Id, l.Name, PlotKind.Band, l.Color, Points(l.Pages))), new("swap-used", "swap used", PlotKind.DottedLine, "#000000", Points(s => s.SwapUsed))],
            []);
    }
}
