using System.Globalization;

namespace MemSim.Reports.Reading;

/// <summary>Reads the table of tasks, the lines about victims, slab caches and statistics of cgroups.</summary>
internal static class TaskText
{
    /// <summary>Whether a line is a row of the table: <c>[ 1234]</c> and a number.</summary>
    public static bool IsRow(ReadOnlySpan<char> t)
    {
        if (t.IsEmpty || t[0] != '[')
        {
            return false;
        }

        int close = t[..Math.Min(t.Length, 16)].IndexOf(']');
        if (close < 2 || t[1..close].Trim(' ') is not { IsEmpty: false } pid || pid.IndexOfAnyExceptInRange('0', '9') >= 0)
        {
            return false;
        }

        ReadOnlySpan<char> rest = t[(close + 1)..].TrimStart(' ');
        return !rest.IsEmpty && char.IsAsciiDigit(rest[0]);
    }

    /// <summary>The columns of the table's head, without the pid.</summary>
    public static string[]? Columns(string text)
    {
        int uid = text.IndexOf("uid", StringComparison.Ordinal);
        return uid < 0 ? null : text[uid..].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
    }

    /// <summary>Reads a row.</summary>
    public static ReportedTask? Row(string text, string[]? columns)
    {
        int open = text.IndexOf('[');
        int close = open < 0 ? -1 : text.IndexOf(']', open);
        if (close < 0 || !long.TryParse(text.AsSpan(open + 1, close - open - 1).Trim(' '), NumberStyles.None, CultureInfo.InvariantCulture, out long pid))
        {
            return null;
        }

        string[] words = text[(close + 1)..].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        columns ??= ["uid", "tgid", "total_vm", "rss"];
        long? Column(string name)
        {
            int at = Array.IndexOf(columns, name);
            return at >= 0 && at < words.Length && long.TryParse(words[at], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) ? value : null;
        }

        int nameAt = Array.IndexOf(columns, "name");
        return new ReportedTask
        {
            Pid = pid,
            Name = nameAt >= 0 && nameAt < words.Length ? string.Join(' ', words[nameAt..]) : words.Length > columns.Length ? words[^1] : "",
            RssPages = Column("rss"),
            SwapPages = Column("swapents"),
            PageTableBytes = Column("pgtables_bytes"),
            ScoreAdj = Column("oom_score_adj") ?? Column("oom_adj"),
        };
    }

    /// <summary>Reads who was killed.</summary>
    public static ReportedTask? Victim(ReadOnlySpan<char> t)
    {
        int at = t.IndexOf("process ");
        if (at < 0)
        {
            return null;
        }

        ReadOnlySpan<char> rest = t[(at + 8)..];
        int digits = rest.IndexOfAnyExceptInRange('0', '9');
        digits = digits < 0 ? rest.Length : digits;
        if (!long.TryParse(rest[..digits], NumberStyles.None, CultureInfo.InvariantCulture, out long pid))
        {
            return null;
        }

        int open = rest.IndexOf('(');
        int close = open < 0 ? -1 : rest[open..].IndexOf(')');
        string name = close > 1 && close < 40 ? rest.Slice(open + 1, close - 1).ToString() : "";
        long? anon = null;
        long? file = null;
        long? vm = null;
        long? tables = null;
        long? adj = null;
        Figures figures = new(rest);
        while (figures.Next())
        {
            switch (figures.Name)
            {
                case "total-vm":
                    vm = figures.Value;
                    break;
                case "anon-rss":
                    anon = figures.Value;
                    break;
                case "file-rss":
                    file = figures.Value;
                    break;
                case "pgtables":
                    tables = figures.Value;
                    break;
                case "oom_score_adj":
                    adj = figures.Value;
                    break;
            }
        }

        return new ReportedTask { Pid = pid, Name = name, AnonKiB = anon, FileKiB = file, TotalVmKiB = vm, PageTableBytes = tables << 10, ScoreAdj = adj };
    }

    /// <summary>Whether a line is a row of slab caches: a name and two sizes.</summary>
    public static bool IsSlabRow(ReadOnlySpan<char> t) => t.EndsWith("KB", StringComparison.Ordinal) && SlabRow(t, out _, out _, out _);

    public static bool SlabRow(ReadOnlySpan<char> t, out string name, out long used, out long total)
    {
        name = "";
        used = 0;
        total = 0;
        Span<Range> parts = stackalloc Range[5];
        if (t.SplitAny(parts, " \t", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) != 3)
        {
            return false;
        }

        name = t[parts[0]].ToString();
        return Size(t[parts[1]], out used) && Size(t[parts[2]], out total);
    }

    /// <summary>Whether a line is a row of a cgroup's statistics: a name in small letters and a number.</summary>
    public static bool IsStatRow(ReadOnlySpan<char> t) => StatRow(t, out _, out _);

    public static bool StatRow(ReadOnlySpan<char> t, out string name, out long value)
    {
        name = "";
        value = 0;
        t = t.Trim(" \t");
        int blank = t.IndexOf(' ');
        if (blank is < 2 or > 40 || !char.IsAsciiLetterLower(t[0]) || !long.TryParse(t[(blank + 1)..].Trim(' '), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value))
        {
            return false;
        }

        foreach (char c in t[..blank])
        {
            if (!char.IsAsciiLetterLower(c) && !char.IsAsciiDigit(c) && c != '_')
            {
                return false;
            }
        }

        name = t[..blank].ToString();
        return true;
    }

    private static bool Size(ReadOnlySpan<char> text, out long kib)
    {
        kib = 0;
        return text.EndsWith("KB", StringComparison.OrdinalIgnoreCase) && long.TryParse(text[..^2], NumberStyles.None, CultureInfo.InvariantCulture, out kib);
    }
}
