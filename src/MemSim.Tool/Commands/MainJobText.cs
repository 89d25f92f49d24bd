using System.Globalization;
using MemSim.Tool.Json;
using MemSim.Tool.Recordings;
using MemSim.Tool.Views;

namespace MemSim.Tool.Commands;

/// <summary>Shows the main job to people.</summary>
internal static class MainJobText
{
    private const int BootLogLinesShown = 12;

    public static void Write(ToolConsole console, MainJob job)
    {
        console.Out.WriteLine($"== The twin of {job.MachineName} boots");
        foreach (string line in job.BootLog.Take(BootLogLinesShown))
        {
            console.Out.WriteLine(line);
        }

        if (job.BootLog.Count > BootLogLinesShown)
        {
            console.Out.WriteLine($"({job.BootLog.Count - BootLogLinesShown} lines more)");
        }

        console.Out.WriteLine();
        console.Out.WriteLine("Its zones, watermarks computed from their sizes (pages):");
        console.WriteTable(
            ["node", "zone", "start pfn", "spanned", "present", "managed", "min", "low", "high", "protection"],
            job.BootedZones.Select(z => (string[])[$"{z.Node}", z.Name, $"{z.StartPfn}", $"{z.SpannedPages}", $"{z.PresentPages}", $"{z.ManagedPages}", $"{z.Min}", $"{z.Low}", $"{z.High}", $"({string.Join(", ", z.Protection)})"]),
            textColumns: 2);
        WriteMaps(console, job);
        WriteParts(console, job.Parts);
    }

    private static void WriteMaps(ToolConsole console, MainJob job)
    {
        console.Out.WriteLine();
        console.Out.WriteLine($"== The machine of {job.MapSource}");
        foreach (FragmentationMap map in job.Maps)
        {
            console.Out.WriteLine();
            console.Out.WriteLine($"buddyinfo {map.When}:");
            WriteBuddy(console, map.Figures);
        }

        console.Out.WriteLine();
        console.Out.WriteLine("Share of free memory that is of no use to a request, by order:");
        console.WriteTable(
            ["zone", "moment", .. Enumerable.Range(0, PageGeometry.OrderCount).Select(o => $"{o}")],
            job.Maps[0].Figures.SelectMany((zone, i) => job.Maps.Select(map => (string[])[zone.Name, map.When, .. map.Figures[i].UnusableIndex.Select(u => u.ToString("F3", CultureInfo.InvariantCulture))])),
            textColumns: 2);
        console.Out.WriteLine();
        foreach (FragmentationMap map in job.Maps)
        {
            FragmentationText.Write(console, map);
        }

        FragmentationText.WriteLegend(console);
    }

    private static void WriteParts(ToolConsole console, IReadOnlyList<RecordingOutcome> parts)
    {
        console.Out.WriteLine();
        console.Out.WriteLine("== Compared with the real kernel");
        console.WriteTable(
            ["recording", "what", "equal", "of", "percent", "operations", "seconds", "operations/s"],
            parts.Select(p => (string[])[p.Name, p.Kind, $"{p.Matched}", $"{p.Compared}", RecordingOutcome.PercentText(p.Matched, p.Compared), $"{p.Operations}", p.Seconds.ToString("F2", CultureInfo.InvariantCulture), p.Seconds > 0 ? $"{p.Operations / p.Seconds:F0}" : "-"]),
            textColumns: 2);
        foreach (RecordingOutcome part in parts)
        {
            if (part.Counts.Count != 0)
            {
                console.WriteItems(part.Name, part.Counts.Select(c => $"{c.Kind} {c.Matched} of {c.Compared}"));
            }

            foreach (string mismatch in part.Mismatches)
            {
                console.Out.WriteLine($"  differs: {mismatch.TrimEnd()}");
            }

            if (part.StoppedAt is string stopped)
            {
                console.Out.WriteLine($"  stopped: {stopped.TrimEnd()}");
            }
        }
    }

    /// <summary>As <c>/proc/buddyinfo</c> prints it; on a terminal that is too narrow for that, as a table.</summary>
    private static void WriteBuddy(ToolConsole console, IReadOnlyList<ZoneDocument> zones)
    {
        string[] lines = [.. zones.Select(BuddyLine)];
        if (console.OutputIsTerminal && lines.Max(l => l.TrimEnd().Length) > console.Width)
        {
            console.WriteTable(
                ["node", "zone", .. Enumerable.Range(0, PageGeometry.OrderCount).Select(o => $"{o}")],
                zones.Select(z => (string[])[$"{z.Node}", z.Name, .. z.FreeBlocks.Select(b => $"{b}")]),
                textColumns: 2);
            return;
        }

        foreach (string line in lines)
        {
            console.Out.WriteLine(line);
        }
    }

    private static string BuddyLine(ZoneDocument zone) =>
        $"Node {zone.Node}, zone {zone.Name,8} " + string.Concat(zone.FreeBlocks.Select(b => b.ToString(CultureInfo.InvariantCulture).PadLeft(6) + " "));
}
