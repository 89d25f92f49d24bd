using System.Globalization;
using System.Text;

namespace MemSim.Tool.Plots;

/// <summary>A coordinate system in an SVG picture: axes with ticks, lines, stacked areas.</summary>
/// <param name="svg">The picture.</param>
/// <param name="frame">Where it lies in the picture.</param>
/// <param name="xMax">The value at the right edge; the left one is 0.</param>
/// <param name="yMax">The value at the top; the bottom is 0. What is higher is cut off.</param>
internal sealed class ChartPanel(StringBuilder svg, (int Left, int Top, int Width, int Height) frame, double xMax, double yMax)
{
    private static readonly double[] Steps = [1, 2, 5, 10, 20, 50, 100, 200];

    public int Left => frame.Left;

    public int Right => frame.Left + frame.Width;

    public int Top => frame.Top;

    public int Bottom => frame.Top + frame.Height;

    /// <summary>Where a value lies, with one decimal: more would only make the file longer.</summary>
    public string X(double value) => Text(frame.Left + (value / xMax * frame.Width));

    /// <summary>As <see cref="X"/>, upwards.</summary>
    public string Y(double value) => Text(Bottom - (Math.Clamp(value / yMax, 0, 1) * frame.Height));

    public void Axes(string xName, string yName)
    {
        svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{Left}\" y=\"{Top}\" width=\"{frame.Width}\" height=\"{frame.Height}\" fill=\"none\" stroke=\"#889\"/>\n");
        double step = Step(yMax, frame.Height / 40.0);
        for (double value = 0; value <= yMax; value += step)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<path d=\"M{Left - 4} {Y(value)}h4\" stroke=\"#889\"/><text x=\"{Left - 8}\" y=\"{Y(value)}\" dy=\"4\" text-anchor=\"end\">{value:0}</text>\n");
        }

        step = Step(xMax, frame.Width / 80.0);
        for (double value = 0; value <= xMax; value += step)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<path d=\"M{X(value)} {Bottom}v4\" stroke=\"#889\"/><text x=\"{X(value)}\" y=\"{Bottom + 16}\" text-anchor=\"middle\">{value:0}</text>\n");
        }

        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Right}\" y=\"{Bottom + 31}\" text-anchor=\"end\" fill=\"#445\">{xName}</text>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left}\" y=\"{Top - 7}\" text-anchor=\"middle\" fill=\"#445\">{yName}</text>\n");
    }

    /// <summary>A horizontal line with a name at its right end.</summary>
    public void Level(string id, double value, string color, string name) =>
        svg.Append(CultureInfo.InvariantCulture, $"<g id=\"{id}\"><path d=\"M{Left} {Y(value)}H{Right}\" stroke=\"{color}\" stroke-dasharray=\"6 4\"/><text x=\"{Right + 6}\" y=\"{Y(value)}\" dy=\"4\" fill=\"{color}\">{name}</text></g>\n");

    public void Line(string id, IEnumerable<(double X, double Y)> points, string color, string attributes = "")
    {
        svg.Append(CultureInfo.InvariantCulture, $"<path id=\"{id}\" fill=\"none\" stroke=\"{color}\" stroke-linejoin=\"round\"{attributes} d=\"");
        AppendPoints(points, 'M');
        svg.Append("\"/>\n");
    }

    /// <summary>The area between two lines.</summary>
    public void Band(string id, IReadOnlyList<(double X, double Low, double High)> points, string color)
    {
        svg.Append(CultureInfo.InvariantCulture, $"<path id=\"{id}\" fill=\"{color}\" stroke=\"none\" d=\"");
        AppendPoints(points.Select(p => (p.X, p.High)), 'M');
        AppendPoints(points.Reverse().Select(p => (p.X, p.Low)), 'L');
        svg.Append("Z\"/>\n");
    }

    private static string Text(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);

    /// <summary>A round distance of ticks so that there are about so many.</summary>
    private static double Step(double max, double ticks) => Array.Find(Steps, s => max / s <= ticks) is > 0 and var step ? step : Steps[^1];

    private void AppendPoints(IEnumerable<(double X, double Y)> points, char first)
    {
        char next = first;
        string lastX = "";
        foreach ((double x, double y) in points)
        {
            string text = X(x);
            if (text == lastX)
            {
                svg.Append('V').Append(Y(y));
            }
            else
            {
                svg.Append(next).Append(text).Append(' ').Append(Y(y));
            }

            lastX = text;
            next = 'L';
        }
    }
}
