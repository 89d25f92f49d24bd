using System.Text;

namespace MemSim.Reports.Reading;

/// <summary>Takes files of <c>/proc</c> apart that somebody pasted one after the other: by what their lines look like.</summary>
internal static class PastedFiles
{
    /// <summary>pagetypeinfo ends with lines of as many numbers as there are types; buddyinfo has one an order, which are more.</summary>
    private const int MostTypes = 7;

    private static readonly string[] s_typeHeads = ["Page block order:", "Pages per block:", "Free pages count per migrate type", "Number of blocks type", "Number of mixed blocks"];

    /// <summary>The files by name, as far as they are there.</summary>
    public static IReadOnlyDictionary<string, string> Of(string text)
    {
        Dictionary<string, StringBuilder> files = new(StringComparer.Ordinal);
        string? current = null;
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            current = FileOf(line, current);
            if (current is not null)
            {
                if (!files.TryGetValue(current, out StringBuilder? file))
                {
                    files[current] = file = new StringBuilder();
                }

                file.Append(line).Append('\n');
            }
        }

        return files.ToDictionary(f => f.Key, f => f.Value.ToString(), StringComparer.Ordinal);
    }

    private static string? FileOf(ReadOnlySpan<char> line, string? current) => line switch
    {
        _ when line.StartsWith("Node ", StringComparison.Ordinal) => FileOfZone(line.ToString().Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries), current),
        _ when Array.Exists(s_typeHeads, line.ToString().StartsWith) => "pagetypeinfo",
        _ when line.StartsWith("slabinfo - version", StringComparison.Ordinal) => "slabinfo",
        _ when line.StartsWith("Linux version ", StringComparison.Ordinal) => "version",
        _ when IsMemInfo(line) => "meminfo",
        _ when current is "version" or "meminfo" or "buddyinfo" => null,
        _ => current,
    };

    private static string? FileOfZone(string[] words, string? current) => words switch
    {
        ["Node", _, "zone", _] => "zoneinfo",
        ["Node", _, "zone", [.., ','], "type", ..] => "pagetypeinfo",
        ["Node", _, "zone", _, _, _, _, _, ..] when words.Skip(4).All(w => w.All(char.IsAsciiDigit)) => current == "pagetypeinfo" && words.Length <= MostTypes + 4 ? current : "buddyinfo",
        _ => current,
    };

    // MemTotal:        2014644 kB
    private static bool IsMemInfo(ReadOnlySpan<char> line)
    {
        int colon = line.IndexOf(':');
        ReadOnlySpan<char> rest = colon > 0 ? line[(colon + 1)..].Trim() : default;
        rest = rest.EndsWith(" kB", StringComparison.Ordinal) ? rest[..^3] : rest;
        return colon > 0 && char.IsAsciiLetter(line[0]) && !line[..colon].Contains(' ') && rest.Length > 0 && !rest.ContainsAnyExceptInRange('0', '9');
    }
}
