using System.Globalization;
using System.Text;

namespace MemSim.Swap;

/// <summary>Writes <c>/proc/swaps</c>.</summary>
internal static class SwapsFile
{
    private const int NameColumns = 40;
    private const long WideFigure = 10_000_000;

    public static string Of(SwapSpace swap)
    {
        StringBuilder text = new("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
        foreach (SwapArea area in swap.Areas)
        {
            string name = area.Name.StartsWith('/') ? area.Name : "/dev/" + area.Name;
            long size = area.Pages << (PageGeometry.PageShift - 10);
            long used = area.UsedPages << (PageGeometry.PageShift - 10);
            text.Append(name).Append(' ', Math.Max(NameColumns - name.Length, 1)).Append(area.Backing.IsFile ? "file\t" : "partition").Append('\t');
            text.Append(CultureInfo.InvariantCulture, $"{size}\t{(size < WideFigure ? "\t" : "")}{used}\t{(used < WideFigure ? "\t" : "")}{area.Priority}\n");
        }

        return text.ToString();
    }
}
