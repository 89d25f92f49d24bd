using System.Text;
using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Pictures;

/// <summary>A zone's free pages over time, as paths of a picture.</summary>
/// <param name="Name">The zone.</param>
/// <param name="Free">Free pages now.</param>
/// <param name="Min">The watermark min, in pages.</param>
/// <param name="Low">The watermark low, in pages.</param>
/// <param name="High">The watermark high, in pages.</param>
/// <param name="Line">The curve.</param>
/// <param name="Area">What is below it.</param>
/// <param name="Marks">The watermarks' lines.</param>
public sealed record ZoneCurve(string Name, long Free, long Min, long Low, long High, string Line, string Area, IReadOnlyList<(string Text, double X, double Y, string Colour)> Marks);

/// <summary>Draws free pages against watermarks.</summary>
public static class WatermarkCurves
{
    /// <summary>The picture's width.</summary>
    public const int Width = 400;

    /// <summary>The picture's height.</summary>
    public const int Height = 130;

    private const int Top = 12;

    // More points than that nobody sees, and each is a number to write.
    private const int MostPoints = 200;

    /// <summary>The curves of a session's zones.</summary>
    public static IEnumerable<ZoneCurve> Of(Session session)
    {
        ArgumentNullException.ThrowIfNull(session);
        IReadOnlyList<MemorySample> samples = session.Events.Samples;
        for (int i = 0; i < session.Machine.Zones.Count; i++)
        {
            Zone zone = session.Machine.Zones[i];
            if (zone.IsPopulated)
            {
                yield return Curve(zone, i, samples);
            }
        }
    }

    private static ZoneCurve Curve(Zone zone, int index, IReadOnlyList<MemorySample> samples)
    {
        long min = zone.GetWatermarkPages(Watermark.Min);
        long low = zone.GetWatermarkPages(Watermark.Low);
        long high = zone.GetWatermarkPages(Watermark.High);
        long top = Math.Max(high * 2, Math.Max(1, samples.Max(s => s.FreePages[index])));
        double first = samples[0].Event;
        double span = Math.Max(1, samples[^1].Event - first);

        // Watermarks lie near the ground of a large zone: equal ratios get equal room, from a quarter of min on.
        double floor = Math.Max(1, min / 4.0);
        double decades = Math.Log(Math.Max(2, top / floor));
        int Y(long pages) => Height - (int)Math.Round((Height - Top) * Math.Clamp(Math.Log(Math.Max(pages, floor) / floor) / decades, 0, 1));
        StringBuilder line = new();
        int step = Math.Max(1, samples.Count / MostPoints);
        for (int i = 0; i < samples.Count; i += step)
        {
            int x = samples.Count == 1 ? 0 : (int)((samples[i].Event - first) / span * Width);
            line.Append(line.Length == 0 ? 'M' : 'L').Append(x).Append(' ').Append(Y(samples[i].FreePages[index]));
        }

        line.Append('L').Append(Width).Append(' ').Append(Y(samples[^1].FreePages[index]));
        return new ZoneCurve(
            zone.Name,
            zone.TrueFreePages,
            min,
            low,
            high,
            line.ToString(),
            $"{line}L{Width} {Height}L0 {Height}Z",
            [($"high {high}", Width / 3.0, Y(high), "--good"), ($"low {low}", Width * 2 / 3.0, Y(low), "--quiet"), ($"min {min}", Width - 4, Y(min), "--bad")]);
    }
}
