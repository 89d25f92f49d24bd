namespace MemSim.Reports.Reading;

/// <summary>Reads the totals behind <c>Mem-Info:</c>, in pages.</summary>
internal static class TotalsText
{
    private const int Max = 64;
    private const string AnonWord = "inactive_anon";

    public static void Read(string text, KernelReport report)
    {
        Figures figures = new(WithColon(text));
        while (figures.Next() && report.Totals.Count < Max)
        {
            report.Totals.TryAdd(figures.Name.ToString().ToLowerInvariant(), figures.Value);
        }
    }

    /// <summary>Whether the first total of a line is known already: then it is of another report.</summary>
    public static bool IsKnown(string text, KernelReport report)
    {
        Figures figures = new(text);
        return figures.Next() && report.Totals.ContainsKey(figures.Name.ToString().ToLowerInvariant());
    }

    /// <summary>2.6.28 forgot a colon: <c>inactive_anon18042</c>.</summary>
    private static string WithColon(string text)
    {
        int at = text.IndexOf(AnonWord, StringComparison.Ordinal) + AnonWord.Length;
        return at > AnonWord.Length && at < text.Length && char.IsAsciiDigit(text[at]) ? text.Insert(at, ":") : text;
    }
}
