using System.Formats.Tar;
using System.IO.Compression;

namespace MemSim.Explorer.Tests;

/// <summary>Where the data of other test projects lie.</summary>
internal static class TestData
{
    /// <summary>A report somebody pasted.</summary>
    public static string Case(string name) => Path.Combine(AppContext.BaseDirectory, "Data", "cases", name + ".txt");

    /// <summary>All of them.</summary>
    public static IEnumerable<string> Cases => Directory.EnumerateFiles(Path.Combine(AppContext.BaseDirectory, "Data", "cases"), "*.txt").Order(StringComparer.Ordinal);

    /// <summary>Of each log, by its number: the reasons of its reports, and what would have saved the first.</summary>
    public static IReadOnlyDictionary<string, (string Reason, string[] SavedBy)> Verdicts { get; } = File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Data", "explain.md"))
        .Select(l => l.Split('|', StringSplitOptions.TrimEntries))
        .Where(c => c.Length >= 6 && c[1].Length >= 2 && char.IsAsciiDigit(c[1][0]))
        .ToDictionary(c => c[1][..2], c => (c[3], c[4].Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Where(e => e != "-").Select(e => e.Trim('`')).ToArray()), StringComparer.Ordinal);

    /// <summary>Files of <c>/proc</c> that somebody published, by folder.</summary>
    public static IReadOnlyDictionary<string, string> FoundZoneInfos()
    {
        Dictionary<string, string> texts = new(StringComparer.Ordinal);
        using GZipStream stream = new(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "zoneinfo.tar.gz")), CompressionMode.Decompress);
        using TarReader tar = new(stream);
        while (tar.GetNextEntry() is { } entry)
        {
            if (entry.DataStream is not null && Path.GetFileName(entry.Name) is "zoneinfo" or "buddyinfo")
            {
                using StreamReader text = new(entry.DataStream!);
                string folder = Path.GetDirectoryName(entry.Name)!;
                texts[folder] = texts.GetValueOrDefault(folder) + text.ReadToEnd();
            }
        }

        return texts;
    }

    /// <summary>A recording with the lists before and after it.</summary>
    public static string Trace => Path.Combine(AppContext.BaseDirectory, "Data", "trace");
}
