using System.Globalization;

namespace MemSim.Reports.Reading;

/// <summary>Reads what a memory cgroup's OOM killer says about the group.</summary>
internal static class CgroupText
{
    public static void Read(in LogicalLine line, KernelReport report, ref bool inStats)
    {
        ReportedCgroup group = report.Cgroup ??= new ReportedCgroup();
        report.Kind = ReportKind.MemcgOom;
        switch (line.Kind)
        {
            case LineKind.CgroupUsage:
                Usage(line.Text, group);
                break;
            case LineKind.CgroupStats:
                Stats(line.Text, group);
                inStats = true;
                break;
            default:
                Row(line.Text, group);
                inStats = true;
                break;
        }
    }

    /// <summary>Whether a line can be of the group whose figures a report has so far: nothing is said twice, and statistics are of the group or of one below it.</summary>
    public static bool MayFollow(in LogicalLine line, KernelReport report)
    {
        if (report.Cgroup is not { } group)
        {
            return true;
        }

        string text = line.Text;
        switch (line.Kind)
        {
            case LineKind.CgroupUsage:
                bool known = text.Contains("killed as a result", StringComparison.Ordinal) ? group.Path is not null
                    : text.Contains("swap:", StringComparison.Ordinal) ? group.SwapUsageKiB is not null
                    : text.Contains("kmem:", StringComparison.Ordinal) ? group.Kmem is not null
                    : text.Contains("memory:", StringComparison.Ordinal) && group.UsageKiB is not null;
                return !known && group.Stat.Count == 0;
            case LineKind.CgroupStats:
                string? path = PathOf(text);
                return path is null ? group.Stat.Count == 0 : group.Path is null || path == group.Path || path.StartsWith(group.Path.TrimEnd('/') + "/", StringComparison.Ordinal);
            default:
                return !TaskText.StatRow(text, out string name, out _) || !group.Stat.ContainsKey(name);
        }
    }

    /// <summary>The group that a line of statistics is for; null where it names none.</summary>
    private static string? PathOf(string text)
    {
        int at = text.IndexOf("stats for ", StringComparison.Ordinal);
        int colon = at < 0 ? -1 : text.IndexOf(':', at + 10);
        return at < 0 ? null : (colon < 0 ? text[(at + 10)..] : text[(at + 10)..colon]).Trim();
    }

    private static void Usage(string text, ReportedCgroup group)
    {
        int killed = text.IndexOf(" killed as a result of limit of", StringComparison.Ordinal);
        if (killed >= 0)
        {
            int task = text.IndexOf("Task in ", StringComparison.Ordinal);
            group.TaskPath ??= task >= 0 && task + 8 < killed ? text[(task + 8)..killed].Trim() : null;
            group.Path ??= text[(killed + 31)..].Trim();
            return;
        }

        if (Value(text, "usage ") is not { } usage || Value(text, "limit ") is not { } limit)
        {
            return;
        }

        if (text.Contains("memory+swap:", StringComparison.Ordinal))
        {
            (group.SwapUsageKiB, group.SwapLimitKiB, group.SwapIncludesMemory) = (usage, limit, true);
        }
        else if (text.Contains("swap:", StringComparison.Ordinal))
        {
            (group.SwapUsageKiB, group.SwapLimitKiB) = (usage, limit);
        }
        else if (text.Contains("kmem:", StringComparison.Ordinal))
        {
            group.Kmem = (usage, limit);
        }
        else if (text.Contains("memory:", StringComparison.Ordinal))
        {
            (group.UsageKiB, group.LimitKiB) = (usage, limit);
        }
    }

    private static void Stats(string text, ReportedCgroup group)
    {
        bool isChild = false;
        int at = text.IndexOf("stats for ", StringComparison.Ordinal);
        int start = at < 0 ? text.IndexOf("stats:", StringComparison.Ordinal) + 6 : at + 10;
        int colon = text.IndexOf(':', Math.Min(start, text.Length));
        if (at >= 0)
        {
            string path = (colon < 0 ? text[start..] : text[start..colon]).Trim();
            group.Path ??= path.Length == 0 ? null : path;

            // Version 1 tells of each group of the hierarchy by itself, without what its children use.
            isChild = path.Length != 0 && group.Stat.Count != 0 && path != group.Path;
        }

        Figures figures = new(text.AsSpan(Math.Min(text.Length, at >= 0 && colon >= 0 ? colon + 1 : start)));
        while (figures.Next() && group.Stat.Count < 256)
        {
            // Limits of "none" are printed as numbers near 2^63.
            string name = figures.Name.ToString();
            long value = figures.IsKiB && figures.Value < long.MaxValue >> 10 ? figures.Value << 10 : figures.Value;
            if (!group.Stat.TryAdd(name, value) && isChild && value < long.MaxValue - group.Stat[name])
            {
                group.Stat[name] += value;
            }
        }
    }

    private static void Row(string text, ReportedCgroup group)
    {
        if (TaskText.StatRow(text, out string name, out long value))
        {
            if (group.Stat.Count < 256)
            {
                group.Stat.TryAdd(name, value);
            }

            return;
        }

        Stats("stats:" + text, group);
    }

    private static long? Value(string text, string name)
    {
        int at = text.IndexOf(name, StringComparison.Ordinal);
        if (at < 0)
        {
            return null;
        }

        ReadOnlySpan<char> rest = text.AsSpan(at + name.Length);
        int digits = rest.IndexOfAnyExceptInRange('0', '9');
        return digits > 0 && long.TryParse(rest[..digits], NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value : null;
    }
}
