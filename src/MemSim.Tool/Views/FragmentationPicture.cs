using System.Globalization;
using System.Text;

namespace MemSim.Tool.Views;

/// <summary>Draws maps of several moments side by side into a file: SVG with words and tooltips, PNG with words.</summary>
internal static class FragmentationPicture
{
    private const int CellSize = 11;
    private const int Gap = 1;
    private const int PerRow = 32;
    private const int Margin = 16;
    private const int LineHeight = 18;

    private static readonly (byte, byte, byte) Ink = (0, 0, 0);
    private static readonly (byte, byte, byte) Grey = (0x55, 0x55, 0x55);

    /// <summary>Whether a file's name has an ending that can be drawn.</summary>
    public static bool CanDraw(string path) => IsSvg(path) || IsPng(path);

    /// <summary>Writes the picture; the ending of the name decides how.</summary>
    public static void Write(string path, string title, IReadOnlyList<FragmentationMap> maps)
    {
        if (IsSvg(path))
        {
            File.WriteAllText(path, Svg(title, maps));
        }
        else
        {
            File.WriteAllBytes(path, Png(title, maps));
        }
    }

    public static string Svg(string title, IReadOnlyList<FragmentationMap> maps)
    {
        int panel = (PerRow * (CellSize + Gap)) + (2 * Margin);
        int width = panel * maps.Count;
        int height = (4 * LineHeight) + BodyHeight(maps);
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        svg.Append(CultureInfo.InvariantCulture, $"<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Margin}\" y=\"{LineHeight}\" font-size=\"15\">{Escape(title)}</text>\n");
        for (int i = 0; i < maps.Count; i++)
        {
            AppendPanel(svg, maps[i], (i * panel) + Margin, 2 * LineHeight);
        }

        AppendLegend(svg, height - LineHeight);
        return svg.Append("</svg>\n").ToString();
    }

    public static byte[] Png(string title, IReadOnlyList<FragmentationMap> maps)
    {
        int panel = (PerRow * (CellSize + Gap)) + (2 * Margin);
        var image = new PngImage(panel * maps.Count, (4 * LineHeight) + BodyHeight(maps));
        DotLetters.Draw(image, Margin, 8, title, Ink, scale: 2);
        for (int i = 0; i < maps.Count; i++)
        {
            DrawPanel(image, maps[i], (i * panel) + Margin, 2 * LineHeight);
        }

        DrawLegend(image, image.Height - LineHeight);
        return image.Encode();
    }

    private static void DrawPanel(PngImage image, FragmentationMap map, int left, int top)
    {
        DotLetters.Draw(image, left, top, map.When, Ink);
        foreach (ZoneMap zone in map.Zones)
        {
            DotLetters.Draw(image, left, top + 18, Heading(zone), Ink);
            DotLetters.Draw(image, left, top + 18 + (LineHeight / 2), $"of no use to order {Unusable(zone, 3)}", Grey);
            int y = top + (2 * LineHeight) + 4;
            for (int c = 0; c < zone.Cells.Count; c++)
            {
                image.Fill(left + (c % PerRow * (CellSize + Gap)), y + (c / PerRow * (CellSize + Gap)), CellSize, CellSize, FragmentationColors.Of(zone.Cells[c]));
            }

            top += (Rows(zone) * (CellSize + Gap)) + (3 * LineHeight);
        }
    }

    private static void DrawLegend(PngImage image, int y)
    {
        int x = Margin;
        foreach ((MigrateType type, string name) in FragmentationColors.Legend)
        {
            image.Fill(x, y, CellSize, CellSize, FragmentationColors.Full(type));
            DotLetters.Draw(image, x + 15, y + 2, name, Ink);
            x += 30 + (name.Length * DotLetters.Advance);
        }
    }

    private static string Heading(ZoneMap zone) => $"Node {zone.Figures.Node}, zone {zone.Figures.Name}: {zone.Figures.FreePages} of {zone.Figures.ManagedPages} pages free";

    /// <summary>The share of free memory that a request cannot use, by order: every so many orders.</summary>
    private static string Unusable(ZoneMap zone, int step) =>
        string.Join("  ", zone.Figures.UnusableIndex.Select((index, order) => order % step == step - 1 ? string.Create(CultureInfo.InvariantCulture, $"{order}: {index:F3}") : "").Where(t => t.Length != 0));

    private static bool IsSvg(string path) => path.EndsWith(".svg", StringComparison.OrdinalIgnoreCase);

    private static bool IsPng(string path) => path.EndsWith(".png", StringComparison.OrdinalIgnoreCase);

    private static int Rows(ZoneMap zone) => (zone.Cells.Count + PerRow - 1) / PerRow;

    private static int BodyHeight(IReadOnlyList<FragmentationMap> maps) => maps.Max(m => m.Zones.Sum(z => (Rows(z) * (CellSize + Gap)) + (4 * LineHeight)));

    private static void AppendPanel(StringBuilder svg, FragmentationMap map, int left, int top)
    {
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{left}\" y=\"{top + 4}\" font-weight=\"bold\">{Escape(map.When)}</text>\n");
        foreach (ZoneMap zone in map.Zones)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{left}\" y=\"{top + 24}\">{Escape(Heading(zone))}</text>\n");
            string unusable = Unusable(zone, 2);
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{left}\" y=\"{top + 24 + LineHeight}\" fill=\"#555555\">of no use to order {unusable}</text>\n");
            int y = top + (2 * LineHeight) + 4;
            for (int c = 0; c < zone.Cells.Count; c++)
            {
                MapCell cell = zone.Cells[c];
                if (cell.Type is MigrateType type)
                {
                    svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{left + (c % PerRow * (CellSize + Gap))}\" y=\"{y + (c / PerRow * (CellSize + Gap))}\" width=\"{CellSize}\" height=\"{CellSize}\" fill=\"{FragmentationColors.Hex(FragmentationColors.Of(cell))}\"><title>{type}, {cell.FreePages} of {cell.Pages} pages free, largest free order {(cell.LargestFreeOrder < 0 ? "none" : cell.LargestFreeOrder.ToString(CultureInfo.InvariantCulture))}</title></rect>\n");
                }
            }

            top += (Rows(zone) * (CellSize + Gap)) + (4 * LineHeight) - LineHeight;
        }
    }

    private static void AppendLegend(StringBuilder svg, int y)
    {
        int x = Margin;
        foreach ((MigrateType type, string name) in FragmentationColors.Legend)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{x}\" y=\"{y - 10}\" width=\"{CellSize}\" height=\"{CellSize}\" fill=\"{FragmentationColors.Hex(FragmentationColors.Full(type))}\"/><text x=\"{x + 15}\" y=\"{y}\">{name}</text>\n");
            x += 30 + (name.Length * 7);
        }

        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x + 10}\" y=\"{y}\" fill=\"#555555\">one square a page block; the darker, the more of it is free</text>\n");
    }

    private static string Escape(string text) => System.Security.SecurityElement.Escape(text);
}
