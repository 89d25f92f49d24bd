using System.Globalization;
using System.Text;
using MemSim.Reports;
using OxyPlot;
using OxyPlot.Annotations;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace MemSim.Tool.Explaining;

/// <summary>Draws the free blocks of a report's zones, by order and migrate type, against their watermarks.</summary>
internal static class ZonePicture
{
    private const int Width = 900;
    private const int Height = 260;

    // Letters as reports print them; blocks of several types are drawn as one.
    private static readonly (string Types, OxyColor Color)[] Colors =
    [
        ("U", OxyColor.FromRgb(0x4c, 0x78, 0xa8)), ("M", OxyColor.FromRgb(0x54, 0xa2, 0x4b)), ("E", OxyColor.FromRgb(0xee, 0xca, 0x3b)), ("H", OxyColor.FromRgb(0xe4, 0x57, 0x56)), ("C", OxyColor.FromRgb(0xb2, 0x79, 0xa2)),
    ];

    /// <summary>One panel a zone: a bar of pages for each order, and a line for each mark.</summary>
    public static string Svg(ReportExplanation explanation)
    {
        StringBuilder svg = new();
        List<ZoneOutcome> zones = [.. explanation.Zones.Where(z => explanation.Report.Zones.Any(r => r.Node == z.Node && r.Name == z.Name && r.Blocks is { Count: > 0 }))];
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{Math.Max(1, zones.Count) * Height}\">\n");
        for (int i = 0; i < zones.Count; i++)
        {
            ReportedZone reported = explanation.Report.Zones.First(r => r.Node == zones[i].Node && r.Name == zones[i].Name && r.Blocks is { Count: > 0 });
            string panel = new SvgExporter { Width = Width, Height = Height, IsDocument = false, UseVerticalTextAlignmentWorkaround = true }.ExportToString(Panel(zones[i], reported));
            // The panel is a document of its own: what stands before its element must not stand inside another one.
            int element = panel.IndexOf("<svg", StringComparison.Ordinal);
            svg.Append(CultureInfo.InvariantCulture, $"<g transform=\"translate(0 {i * Height})\">\n").Append(panel.AsSpan(Math.Max(0, element))).Append("\n</g>\n");
        }

        return svg.Append("</svg>\n").ToString();
    }

    private static PlotModel Panel(ZoneOutcome zone, ReportedZone reported)
    {
        string verdict = zone.Eligible == false ? "not for this request" : zone.Passes switch { true => "passes", false => "fails", null => "not known" };
        PlotModel model = new() { Title = $"Node {zone.Node} {zone.Name}: {verdict}", TitleFontSize = 13 };
        CategoryAxis orders = new() { Position = AxisPosition.Left, StartPosition = 1, EndPosition = 0, GapWidth = 0.3 };
        foreach (FreeBlocks blocks in reported.Blocks!)
        {
            orders.Labels.Add(string.Create(CultureInfo.InvariantCulture, $"order {blocks.Order}"));
        }

        model.Axes.Add(orders);
        model.Axes.Add(new LinearAxis { Position = AxisPosition.Bottom, Minimum = 0, Title = "pages", MajorGridlineStyle = LineStyle.Dot });
        model.Legends.Add(new Legend { LegendPosition = LegendPosition.RightTop, LegendPlacement = LegendPlacement.Outside });
        foreach (IGrouping<string, FreeBlocks> group in reported.Blocks.GroupBy(b => b.Count == 0 ? "" : b.Types ?? "free").Where(g => g.Key.Length != 0))
        {
            BarSeries series = new() { Title = group.Key, IsStacked = true, FillColor = ColorOf(group.Key) };
            foreach (FreeBlocks blocks in group)
            {
                series.Items.Add(new BarItem(blocks.Count << blocks.Order, reported.Blocks.ToList().IndexOf(blocks)));
            }

            model.Series.Add(series);
        }

        Mark(model, "min", zone.MinPages, OxyColors.DarkRed);
        Mark(model, "limit", zone.LimitPages, OxyColors.Red);
        Mark(model, "free", zone.FreePages, OxyColors.Black);
        return model;
    }

    private static void Mark(PlotModel model, string name, long? pages, OxyColor color)
    {
        if (pages is { } value)
        {
            model.Annotations.Add(new LineAnnotation { Type = LineAnnotationType.Vertical, X = value, Color = color, Text = string.Create(CultureInfo.InvariantCulture, $"{name} {value}"), TextColor = color });
        }
    }

    private static OxyColor ColorOf(string types)
    {
        (string _, OxyColor color) = Array.Find(Colors, c => c.Types == types);
        return color.IsUndefined() || color.A == 0 ? OxyColor.FromRgb(0x9d, 0x9d, 0xa8) : color;
    }
}
