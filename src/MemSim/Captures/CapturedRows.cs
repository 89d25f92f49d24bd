using MemSim.Kernels;

namespace MemSim.Captures;

/// <summary>Which rows the files of a captured machine have: with them it tells which options its kernel was built without.</summary>
internal static class CapturedRows
{
    /// <summary>The rules of a kernel with the rows that the machine's files have.</summary>
    /// <param name="line">The rules to follow.</param>
    /// <param name="own">The rules that the machine's own version leads to.</param>
    /// <param name="folder">Its files.</param>
    /// <param name="architecture">Its architecture.</param>
    public static KernelPersonality Apply(KernelPersonality line, KernelPersonality own, CaptureFolder folder, ArchitectureInfo architecture)
    {
        HashSet<string> rows = new(StringComparer.Ordinal);
        bool hasVmStat = Add(rows, folder, "vmstat");
        bool hasMemInfo = Add(rows, folder, "meminfo");
        bool hasZoneInfo = Add(rows, folder, "zoneinfo") && rows.Contains("nr_inactive_anon");
        return BuildOptions.Without(line, BuildOptions.MissingFrom(own, architecture.Architecture == Architecture.X86_64, rows,
            row => char.IsAsciiLetterUpper(row[0]) ? hasMemInfo : hasVmStat || (hasZoneInfo && row.StartsWith("nr_", StringComparison.Ordinal))));
    }

    private static bool Add(HashSet<string> rows, CaptureFolder folder, string name)
    {
        if (folder.FindFigures(name) is not { } path)
        {
            return false;
        }

        bool any = false;
        foreach (string line in File.ReadLines(path))
        {
            string trimmed = line.TrimStart();
            int end = trimmed.AsSpan().IndexOfAny(' ', '\t', ':');
            any |= end > 0 && rows.Add(trimmed[..end]);
        }

        return any;
    }
}
