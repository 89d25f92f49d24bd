using System.Globalization;
using System.Text;

namespace MemSim.Tool.Plots;

/// <summary>Draws a run as SVG: free memory against the watermarks, what is on the LRU lists below.</summary>
internal static class PressurePlot
{
    private const int Width = 960;
    private const int Left = 56;
    private const int PlotWidth = 800;
    private const double PagesPerMiB = (1 << 20) >> PageGeometry.PageShift;

    private static readonly (string Id, string Name, string Color, Func<PressureSample, long> Pages)[] Lists =
    [
        ("inactive-file", "inactive file", "#9ecae1", s => s.InactiveFile),
        ("active-file", "active file", "#3182bd", s => s.ActiveFile),
        ("inactive-anon", "inactive anon", "#fdae6b", s => s.InactiveAnon),
        ("active-anon", "active anon", "#e6550d", s => s.ActiveAnon),
    ];

    /// <summary>How wide two letters are, roughly.</summary>
    private const int TwoLettersWidth = 13;

    private static readonly (PressureMarkKind Kind, string Id, string Name, string Color, string Shape)[] MarkKinds =
    [
        (PressureMarkKind.KswapdWakes, "kswapd-wakes", "kswapd wakes", "#d62728", "m-4 -6h8l-4 6z"),
        (PressureMarkKind.KswapdSleeps, "kswapd-sleeps", "kswapd sleeps", "#2ca02c", "m-4 6h8l-4 -6z"),
        (PressureMarkKind.DirectReclaim, "direct-reclaim", "direct reclaim", "#7b3294", "m0 -5v10"),
        (PressureMarkKind.AtomicFails, "atomic-fails", "GFP_ATOMIC fails", "#000000", "m-5 -5l10 10m-10 0l10 -10"),
    ];

    /// <summary>Free memory of the zone alone.</summary>
    public static string Watermarks(PressureRun run)
    {
        StringBuilder svg = Begin(420, "Free memory and the watermarks", run);
        DrawFree(svg, run, (Left, 90, PlotWidth, 260));
        Legend(svg, run, 400, withLists: false);
        return svg.Append("</svg>\n").ToString();
    }

    /// <summary>Free memory of the zone, the LRU lists and swap below.</summary>
    public static string Reclaim(PressureRun run)
    {
        StringBuilder svg = Begin(680, "Reclaim at work", run);
        DrawFree(svg, run, (Left, 90, PlotWidth, 230));
        DrawLists(svg, run, (Left, 380, PlotWidth, 220));
        Legend(svg, run, 660, withLists: true);
        return svg.Append("</svg>\n").ToString();
    }

    private static StringBuilder Begin(int height, string title, PressureRun run)
    {
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{title}\">\n");
        svg.Append(CultureInfo.InvariantCulture, $"<rect width=\"{Width}\" height=\"{height}\" fill=\"#ffffff\"/>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left}\" y=\"24\" font-size=\"16\">{title}</text>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left}\" y=\"43\" fill=\"#445\">zone {run.Zone.Name}, {run.Zone.ManagedPages} pages; min {run.Zone.GetWatermark(Watermark.Min)}, low {run.Zone.GetWatermark(Watermark.Low)}, high {run.Zone.GetWatermark(Watermark.High)} pages</text>\n");
        return svg;
    }

    private static void DrawFree(StringBuilder svg, PressureRun run, (int Left, int Top, int Width, int Height) frame)
    {
        double high = MiB(run.Zone.GetWatermark(Watermark.High));
        var panel = new ChartPanel(svg, frame, MiB(run.Asked), high * 1.6);
        Phases(svg, run, panel, named: true);
        panel.Axes("memory asked for, MiB", "free, MiB");
        panel.Level("high", high, "#2ca02c", "high");
        panel.Level("low", MiB(run.Zone.GetWatermark(Watermark.Low)), "#e08a00", "low");
        panel.Level("min", MiB(run.Zone.GetWatermark(Watermark.Min)), "#d62728", "min");
        panel.Line("free", run.Samples.Select(s => (MiB(s.Asked), MiB(s.Free))), "#1f3b73", " stroke-width=\"1.3\"");
        foreach ((PressureMarkKind kind, string id, _, string color, string shape) in MarkKinds)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<path id=\"{id}\" fill=\"{(kind is PressureMarkKind.KswapdWakes or PressureMarkKind.KswapdSleeps ? color : "none")}\" stroke=\"{color}\" stroke-width=\"{(kind == PressureMarkKind.AtomicFails ? "2" : "0.8")}\" d=\"");
            foreach (PressureMark mark in run.Marks.Where(m => m.Kind == kind))
            {
                svg.Append('M').Append(panel.X(MiB(mark.Asked))).Append(' ').Append(panel.Y(MiB(mark.Free))).Append(shape);
            }

            svg.Append("\"/>\n");
        }
    }

    private static void DrawLists(StringBuilder svg, PressureRun run, (int Left, int Top, int Width, int Height) frame)
    {
        // A sample for every other pixel: the lists change slowly.
        PressureSample[] samples = [.. run.Samples.GroupBy(s => s.Asked * (PlotWidth / 2) / run.Asked).Select(g => g.Last())];
        double top = samples.Max(s => MiB(Math.Max(s.SwapUsed, s.ActiveAnon + s.InactiveAnon + s.ActiveFile + s.InactiveFile)));
        var panel = new ChartPanel(svg, frame, MiB(run.Asked), top * 1.08);
        long[] below = new long[samples.Length];
        foreach ((string id, _, string color, Func<PressureSample, long> pages) in Lists)
        {
            List<(double X, double Low, double High)> band = [];
            for (int i = 0; i < samples.Length; i++)
            {
                long now = below[i] + pages(samples[i]);
                band.Add((MiB(samples[i].Asked), MiB(below[i]), MiB(now)));
                below[i] = now;
            }

            panel.Band(id, band, color);
        }

        panel.Line("swap-used", samples.Select(s => (MiB(s.Asked), MiB(s.SwapUsed))), "#000000", " stroke-width=\"1.5\" stroke-dasharray=\"2 2\"");
        Phases(svg, run, panel, named: false);
        panel.Axes("memory asked for, MiB", "lists, MiB");
    }

    private static void Phases(StringBuilder svg, PressureRun run, ChartPanel panel, bool named)
    {
        for (int i = 0; i < run.Phases.Count; i++)
        {
            PressurePhase phase = run.Phases[i];
            string x = panel.X(MiB(phase.Asked));
            if (i != 0)
            {
                svg.Append(CultureInfo.InvariantCulture, $"<path d=\"M{x} {panel.Top - (named ? 22 : 0)}V{panel.Bottom}\" stroke=\"#bbc\"/>\n");
            }

            if (named)
            {
                // Two heights, because short phases follow each other; the last ends at the edge.
                bool last = i == run.Phases.Count - 1;
                svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{(last ? panel.X(MiB(run.Asked)) : x)}\" dx=\"{(i == 0 ? 40 : last ? 0 : 4)}\" y=\"{panel.Top - (i % 2 == 0 ? 8 : 22)}\" fill=\"#667\"{(last ? " text-anchor=\"end\"" : "")}>{phase.Name}</text>\n");
            }
        }
    }

    private static void Legend(StringBuilder svg, PressureRun run, int y, bool withLists)
    {
        int x = Left;
        foreach ((PressureMarkKind kind, _, string name, string color, string shape) in MarkKinds)
        {
            if (run.Marks.Any(m => m.Kind == kind))
            {
                svg.Append(CultureInfo.InvariantCulture, $"<path d=\"M{x + 5} {y - 4 + (kind == PressureMarkKind.KswapdSleeps ? -3 : kind == PressureMarkKind.KswapdWakes ? 3 : 0)}{shape}\" fill=\"{color}\" stroke=\"{color}\"/><text x=\"{x + 14}\" y=\"{y}\">{name}</text>\n");
                x += 26 + (name.Length * TwoLettersWidth / 2);
            }
        }

        if (!withLists)
        {
            return;
        }

        x += 10;
        foreach ((_, string name, string color, _) in Lists)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{x}\" y=\"{y - 10}\" width=\"11\" height=\"11\" fill=\"{color}\"/><text x=\"{x + 15}\" y=\"{y}\">{name}</text>\n");
            x += 27 + (name.Length * TwoLettersWidth / 2);
        }

        svg.Append(CultureInfo.InvariantCulture, $"<path d=\"M{x} {y - 4}h18\" stroke=\"#000000\" stroke-width=\"1.5\" stroke-dasharray=\"2 2\"/><text x=\"{x + 23}\" y=\"{y}\">swap used</text>\n");
    }

    private static double MiB(long pages) => pages / PagesPerMiB;
}
