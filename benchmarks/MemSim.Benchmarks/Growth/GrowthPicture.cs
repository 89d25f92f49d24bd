using System.Globalization;
using System.Text;

namespace MemSim.Benchmarks.Growth;

/// <summary>Draws cost over size, both as logarithms: one panel for each axis, a line for each call.</summary>
internal static class GrowthPicture
{
    private const int Columns = 3;
    private const int PanelWidth = 380;
    private const int PanelHeight = 300;
    private const int Left = 52;
    private const int Top = 30;
    private const int PlotWidth = 190;
    private const int PlotHeight = 220;
    private static readonly string[] Colours = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f"];

    public static string Of(IReadOnlyList<GrowthSeries> all)
    {
        List<IGrouping<string, GrowthSeries>> panels = [.. all.GroupBy(s => s.Axis)];
        int rows = (panels.Count + Columns - 1) / Columns;
        StringBuilder svg = new();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Columns * PanelWidth}\" height=\"{rows * PanelHeight}\" font-family=\"sans-serif\" font-size=\"10\">\n");
        svg.Append("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
        for (int i = 0; i < panels.Count; i++)
        {
            Panel(svg, i % Columns * PanelWidth, i / Columns * PanelHeight, [.. panels[i]]);
        }

        return svg.Append("</svg>\n").ToString();
    }

    private static void Panel(StringBuilder svg, int x0, int y0, List<GrowthSeries> series)
    {
        double lowX = Math.Floor(series.Min(s => s.Points.Min(p => Math.Log10(p.Size))));
        double highX = Math.Max(lowX + 1, Math.Ceiling(series.Max(s => s.Points.Max(p => Math.Log10(p.Size)))));
        double lowY = Math.Floor(series.Min(s => s.Points.Min(p => Math.Log10(p.Cost))));
        double highY = Math.Max(lowY + 1, Math.Ceiling(series.Max(s => s.Points.Max(p => Math.Log10(p.Cost)))));
        double X(double size) => x0 + Left + ((Math.Log10(size) - lowX) / (highX - lowX) * PlotWidth);
        double Y(double cost) => y0 + Top + PlotHeight - ((Math.Log10(cost) - lowY) / (highY - lowY) * PlotHeight);
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x0 + Left}\" y=\"{y0 + 18}\" font-size=\"12\" font-weight=\"bold\">{series[0].Axis}</text>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{x0 + Left}\" y=\"{y0 + Top}\" width=\"{PlotWidth}\" height=\"{PlotHeight}\" fill=\"none\" stroke=\"#999\"/>\n");
        for (double d = lowX; d <= highX; d++)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{X(Math.Pow(10, d)):F1}\" y=\"{y0 + Top + PlotHeight + 14}\" text-anchor=\"middle\">1e{d}</text>\n");
        }

        for (double d = lowY; d <= highY; d++)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x0 + Left - 4}\" y=\"{Y(Math.Pow(10, d)) + 3:F1}\" text-anchor=\"end\">{Unit(d)}</text>\n");
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{x0 + Left}\" x2=\"{x0 + Left + PlotWidth}\" y1=\"{Y(Math.Pow(10, d)):F1}\" y2=\"{Y(Math.Pow(10, d)):F1}\" stroke=\"#ddd\"/>\n");
        }

        for (int i = 0; i < series.Count; i++)
        {
            string colour = Colours[i % Colours.Length];
            string points = string.Join(' ', series[i].Points.Select(p => string.Create(CultureInfo.InvariantCulture, $"{X(p.Size):F1},{Y(p.Cost):F1}")));
            svg.Append(CultureInfo.InvariantCulture, $"<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x0 + Left + PlotWidth + 8}\" y=\"{y0 + Top + 10 + (i * 14)}\" fill=\"{colour}\">{series[i].Call} ({series[i].Exponent:F2})</text>\n");
        }
    }

    private static string Unit(double power) => power switch
    {
        < 3 => $"{Math.Pow(10, power):F0} ns",
        < 6 => $"{Math.Pow(10, power - 3):F0} µs",
        < 9 => $"{Math.Pow(10, power - 6):F0} ms",
        _ => $"{Math.Pow(10, power - 9):F0} s",
    };
}
