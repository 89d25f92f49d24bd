using System.Globalization;

namespace MemSim.Reports.Reading;

/// <summary>Reads what the contiguous allocator complains of.</summary>
internal static class CmaText
{
    /// <summary><c>cma: cma_alloc: linux,cma: alloc failed, req-size: 128 pages, ret: -16</c>, with the name of the area since 5.16.</summary>
    public static void Head(string text, KernelReport report)
    {
        int failed = text.IndexOf("alloc failed", StringComparison.Ordinal);
        string[] parts = text[..Math.Max(0, failed)].Split(": ", StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        string? area = parts.Length > 1 && !parts[^1].EndsWith("cma_alloc", StringComparison.Ordinal) && parts[^1] != "cma" ? parts[^1].TrimEnd(':') : null;
        int ret = text.IndexOf("ret:", StringComparison.Ordinal);
        int? error = ret >= 0 && int.TryParse(text.AsSpan(ret + 4).Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) ? value : null;
        report.Cma = new CmaFailure(area, HeadText.NumberAfter(text, "req-size:"), error);
    }

    /// <summary><c>number of available pages: 72@184+3886@4306=> 3958 free of 8192 total pages</c>: length and place of each free range.</summary>
    public static void Areas(string text, KernelReport report)
    {
        int colon = text.IndexOf("available pages:", StringComparison.Ordinal);
        int arrow = text.IndexOf("=>", StringComparison.Ordinal);
        long? largest = null;
        if (colon >= 0 && arrow > colon)
        {
            foreach (string range in text[(colon + 16)..arrow].Split('+'))
            {
                largest = HeadText.Number(range) is { } pages && pages > (largest ?? -1) ? pages : largest;
            }
        }

        report.Cma = (report.Cma ?? new CmaFailure(null, null, null)) with
        {
            LargestRangePages = largest ?? report.Cma?.LargestRangePages,
            FreePages = arrow < 0 ? null : HeadText.Number(text.AsSpan(arrow + 2)),
            TotalPages = HeadText.NumberBefore(text, " total") ?? HeadText.NumberAfter(text, "total: "),
        };
    }
}
