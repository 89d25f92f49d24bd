using System.Globalization;
using Spectre.Console;

namespace MemSim.Tool.Views;

/// <summary>Draws a map in the terminal: a character a page block, the order of the largest free block in it.</summary>
internal static class FragmentationText
{
    private const int LabelWidth = 12;

    public static void Write(ToolConsole console, FragmentationMap map)
    {
        IAnsiConsole? rich = console.OutputIsTerminal ? console.Rich() : null;
        int perRow = console.Width - LabelWidth >= 128 ? 128 : console.Width - LabelWidth >= 64 ? 64 : 32;
        foreach (ZoneMap zone in map.Zones)
        {
            console.Out.WriteLine($"Node {zone.Figures.Node}, zone {zone.Figures.Name}, {map.When}: {zone.Figures.FreePages} pages free, {zone.PagesPerCell} pages a character");
            for (int row = 0; row < zone.Cells.Count; row += perRow)
            {
                long pfn = (zone.Figures.StartPfn / zone.PagesPerCell + row) * zone.PagesPerCell;
                string label = string.Create(CultureInfo.InvariantCulture, $"{"0x" + pfn.ToString("x", CultureInfo.InvariantCulture),LabelWidth - 2}  ");
                IEnumerable<MapCell> cells = zone.Cells.Skip(row).Take(perRow);
                if (rich is null)
                {
                    console.Out.WriteLine((label + string.Concat(cells.Select(Symbol))).TrimEnd());
                }
                else
                {
                    rich.MarkupLine(label + string.Concat(cells.Select(Colored)));
                }
            }
        }
    }

    /// <summary>What the characters mean.</summary>
    public static void WriteLegend(ToolConsole console)
    {
        console.Out.WriteLine("0 to 9, a: order of the largest free block in the page block (a is 10); #: nothing free; blank: no memory");
        if (console.OutputIsTerminal)
        {
            console.Rich().MarkupLine(string.Join("  ", FragmentationColors.Legend.Select(l => $"[black on {FragmentationColors.Hex(FragmentationColors.Full(l.Type))}] {l.Name} [/]")) + "  the darker, the more is free");
        }
    }

    public static char Symbol(MapCell cell) => cell.Type is null ? ' ' : cell.LargestFreeOrder < 0 ? '#' : "0123456789a"[cell.LargestFreeOrder];

    private static string Colored(MapCell cell)
    {
        if (cell.Type is null)
        {
            return " ";
        }

        string ink = cell.Used > 0.5 ? "black" : "white";
        return $"[{ink} on {FragmentationColors.Hex(FragmentationColors.Of(cell))}]{Symbol(cell)}[/]";
    }
}
