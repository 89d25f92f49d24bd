namespace MemSim.Reports.Reading;

/// <summary>Reads the lines behind the lists of free blocks: swap, RAM, reserved pages.</summary>
internal static class ClosingText
{
    /// <summary>What a line counts; null for lines that count nothing of interest.</summary>
    public static string? Name(string text) => text switch
    {
        _ when text.Contains("total pagecache pages", StringComparison.Ordinal) => "pagecache",
        _ when text.Contains("pages in swap cache", StringComparison.Ordinal) || text.Contains("pages swap cached", StringComparison.Ordinal) => "swap cache",
        _ when text.Contains("Swap cache", StringComparison.Ordinal) => "swap cache stats",
        _ when text.Contains("Free swap", StringComparison.Ordinal) => "swap free",
        _ when text.Contains("Total swap", StringComparison.Ordinal) => "swap total",
        _ when text.Contains("pages HighMem", StringComparison.Ordinal) || text.Contains("pages of HIGHMEM", StringComparison.Ordinal) => "highmem",
        _ when text.Contains("cma reserved", StringComparison.Ordinal) => "cma reserved",
        _ when text.Contains("pages reserved", StringComparison.Ordinal) || text.Contains("reserved pages", StringComparison.Ordinal) => "reserved",
        _ when text.Contains("pages RAM", StringComparison.Ordinal) || text.Contains("pages of RAM", StringComparison.Ordinal) => "ram",
        _ when text.Contains("hwpoisoned", StringComparison.Ordinal) => "hwpoisoned",
        _ when text.Contains("non-shared", StringComparison.Ordinal) => "non-shared",
        _ when text.Contains("pages shared", StringComparison.Ordinal) => "shared",
        _ => null,
    };

    /// <summary>Adds a pool of huge pages, of a node and a size, to those read before.</summary>
    public static void HugePages(string text, KernelReport report)
    {
        if (HeadText.NumberAfter(text, "hugepages_size=") is { } size)
        {
            Add("hugetlb", "hugepages_total=");
            Add("hugetlb free", "hugepages_free=");
        }

        void Add(string name, string figure)
        {
            if (HeadText.NumberAfter(text, figure) is { } pages)
            {
                report.Closing.TryGetValue(name, out long before);
                report.Closing[name] = Math.Min(before + (Math.Clamp(pages, 0, 1L << 32) * Math.Clamp(size, 0, 1L << 26)), long.MaxValue >> 24);
            }
        }
    }

    /// <summary>The count; null where it is cut off.</summary>
    public static long? Value(string text, string name)
    {
        switch (name)
        {
            case "swap free" or "swap total":
                int mark = Math.Max(text.IndexOf('=', StringComparison.Ordinal), text.IndexOf(':', StringComparison.Ordinal));
                return HeadText.Number(text.AsSpan(mark + 1));
            case "swap cache stats":
                return 0;
            case "pagecache":
                return HeadText.NumberBefore(text, "total pagecache");
            case "reserved":
                return HeadText.NumberBefore(text, text.Contains("reserved pages", StringComparison.Ordinal) ? "reserved pages" : "pages reserved");
            default:
                return HeadText.NumberBefore(text, text.Contains("pages", StringComparison.Ordinal) ? "pages" : "pages reserved");
        }
    }
}
