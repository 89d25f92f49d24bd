using System.Globalization;
using MemSim.Reports;
using MemSim.Tool.Views;

namespace MemSim.Tool.Explaining;

/// <summary>Draws what <see cref="ZonePicture"/> draws as PNG, with letters of its own: the same bytes on every machine.</summary>
internal static class ZoneImage
{
    private const int Width = 1060;
    private const int Left = 90;
    private const int BarWidth = 640;
    private const int Row = 20;
    private const int Head = 44;
    private const int Foot = 34;
    private const int Scale = 2;

    private static readonly (byte, byte, byte) Ink = (0x20, 0x20, 0x20);
    private static readonly (byte, byte, byte) Grid = (0xe4, 0xe4, 0xe4);

    private static readonly (string Types, (byte, byte, byte) Color)[] Colors =
    [
        ("U", (0x4c, 0x78, 0xa8)), ("M", (0x54, 0xa2, 0x4b)), ("E", (0xee, 0xca, 0x3b)), ("H", (0xe4, 0x57, 0x56)), ("C", (0xb2, 0x79, 0xa2)),
    ];

    /// <summary>One panel a zone: a bar of pages for each order with its count, and a line for each mark.</summary>
    public static byte[] Png(ReportExplanation explanation)
    {
        List<(ZoneOutcome Zone, ReportedZone Reported)> zones = [.. from zone in explanation.Zones
                                                                     let reported = explanation.Report.Zones.FirstOrDefault(r => r.Node == zone.Node && r.Name == zone.Name && r.Blocks is { Count: > 0 })
                                                                     where reported is not null
                                                                     select (zone, reported)];
        int height = zones.Sum(z => Head + (z.Reported.Blocks!.Count * Row) + Foot);
        PngImage image = new(Width, Math.Max(60, height));
        int top = 0;
        foreach ((ZoneOutcome zone, ReportedZone reported) in zones)
        {
            Panel(image, top, zone, reported);
            top += Head + (reported.Blocks!.Count * Row) + Foot;
        }

        if (zones.Count == 0)
        {
            DotLetters.Draw(image, 12, 20, "the report has no lists of free blocks", Ink, Scale);
        }

        return image.Encode();
    }

    private static void Panel(PngImage image, int top, ZoneOutcome zone, ReportedZone reported)
    {
        CultureInfo plain = CultureInfo.InvariantCulture;
        string verdict = zone.Eligible == false ? "not for this request" : zone.Passes switch { true => "passes", false => "fails", null => "not known" };
        DotLetters.Draw(image, 12, top + 12, string.Create(plain, $"Node {zone.Node} {zone.Name}: {verdict}"), Ink, Scale);
        IReadOnlyList<FreeBlocks> blocks = reported.Blocks!;
        long most = Math.Max(1, Math.Max(blocks.Max(b => b.Count << b.Order), Math.Max(zone.FreePages ?? 0, Math.Max(zone.LimitPages ?? 0, zone.MinPages ?? 0))));
        int At(long pages) => (int)((double)Math.Clamp(pages, 0, most) / most * BarWidth);
        for (int i = 0; i < blocks.Count; i++)
        {
            FreeBlocks list = blocks[i];
            int y = top + Head + (i * Row);
            DotLetters.Draw(image, 12, y + 6, string.Create(plain, $"order {list.Order}"), Ink);
            image.Fill(Left, y + Row - 1, BarWidth, 1, Grid);
            int length = list.Count == 0 ? 0 : Math.Max(1, At(list.Count << list.Order));
            image.Fill(Left, y + 3, length, Row - 7, ColorOf(list.Types));
            DotLetters.Draw(image, Left + BarWidth + 12, y + 6, string.Create(plain, $"{list.Count} x {list.KiB} kB{(list.Count == 0 || list.Types is null ? "" : $" ({list.Types})")} = {list.Count << list.Order} pages"), Ink);
        }

        int bottom = top + Head + (blocks.Count * Row);
        Mark(image, "min", zone.MinPages, At, top + Head, bottom, 0, (0x8b, 0, 0));
        Mark(image, "limit", zone.LimitPages, At, top + Head, bottom, 1, (0xff, 0, 0));
        Mark(image, "free", zone.FreePages, At, top + Head, bottom, 2, Ink);
    }

    private static void Mark(PngImage image, string name, long? pages, Func<long, int> at, int top, int bottom, int line, (byte, byte, byte) color)
    {
        if (pages is { } value)
        {
            string text = string.Create(CultureInfo.InvariantCulture, $"{name} {value}");
            int x = Left + at(value);
            image.Fill(x, top, 2, bottom - top + (line * 10), color);
            DotLetters.Draw(image, Math.Min(x + 5, Width - (text.Length * DotLetters.Advance) - 4), bottom + 1 + (line * 10), text, color);
        }
    }

    private static (byte, byte, byte) ColorOf(string? types)
    {
        ((string Types, (byte, byte, byte) Color) only, bool found) = (Array.Find(Colors, c => c.Types == types), Array.Exists(Colors, c => c.Types == types));
        return found ? only.Color : ((byte)0x9d, (byte)0x9d, (byte)0xa8);
    }
}
