using System.Globalization;

namespace MemSim.Reports.Reading;

/// <summary>Reads the lines a report begins with.</summary>
internal static class HeadText
{
    private const int MaxTaskName = 64;

    /// <summary>Reads the head of an allocation failure or of the OOM killer.</summary>
    public static void Request(string text, string anchor, KernelReport report)
    {
        int at = text.IndexOf(anchor, StringComparison.Ordinal);
        if (at > 0)
        {
            report.Task = TaskName(text.AsSpan(0, at));
        }

        if (Value(text, "order:") is { } order || (order = Value(text, "order=")) is not null)
        {
            report.Order = int.TryParse(order, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) && number is >= -1 and < 64 ? number : null;
        }

        string? mode = Flags(text, "mode:") ?? Flags(text, "gfp_mask=") ?? Flags(text, "gfp_mask:") ?? Flags(text, "gfp=");
        report.Gfp = mode is null ? null : GfpReading.Parse(mode);
        Places(text, report);
    }

    /// <summary>Takes what a console put into a line of its own: the flags of a head that came without them.</summary>
    public static bool Completes(string text, KernelReport report)
    {
        if (report.Head is not (ReportHead.PageAllocationFailure or ReportHead.Stall or ReportHead.Vmalloc or ReportHead.OomKiller) || report.Zones.Count != 0)
        {
            return false;
        }

        // Until 4.19 the kernel wrote the places piece by piece: "app cpuset=", "/", " mems_allowed=0".
        string piece = text.Trim();
        if (piece is "/" or "(null)" || piece.EndsWith(" cpuset=", StringComparison.Ordinal) || piece.StartsWith("mems_allowed=", StringComparison.Ordinal) || (report.Task is null && piece.EndsWith(':') && piece.Length < 20 && !piece.Contains(' ', StringComparison.Ordinal)))
        {
            Places(text, report);
            report.Task ??= piece.EndsWith(':') ? piece[..^1] : null;
            return true;
        }

        if (report.Gfp is not null || Flags(text, "mode:") is not { } flags)
        {
            return false;
        }

        report.Gfp = GfpReading.Parse(flags);
        Places(text, report);
        return report.Gfp is not null;
    }

    /// <summary>The kernel that a line names; null for none.</summary>
    public static (string Release, KernelRelease Version)? ReleaseOf(string text)
    {
        KernelReport line = new();
        Machine(text, line, out _);
        return line.Version is { } version ? (line.Release!, version) : null;
    }

    /// <summary>Reads <c>nodemask=</c>, <c>cpuset=</c> and <c>mems_allowed=</c>, wherever they stand.</summary>
    public static void Places(string text, KernelReport report)
    {
        if (Nodes(text, "nodemask=") is { } mask)
        {
            report.NodeMask = mask == "(null)" ? null : mask;
        }

        if (Nodes(text, "mems_allowed=") is { } allowed)
        {
            report.MemsAllowed = allowed;
        }

        int cpuset = text.IndexOf("cpuset=", StringComparison.Ordinal);
        if (cpuset >= 0)
        {
            ReadOnlySpan<char> rest = text.AsSpan(cpuset + 7);
            int end = rest.IndexOfAny(", ");
            report.Cpuset = rest[..Math.Min(end < 0 ? rest.Length : end, 256)].ToString();
        }
    }

    /// <summary>The flags behind a name: up to the closing parenthesis, or to a comma or blank.</summary>
    public static string? Flags(string text, string name)
    {
        int at = text.IndexOf(name, StringComparison.Ordinal);
        if (at < 0)
        {
            return null;
        }

        ReadOnlySpan<char> rest = text.AsSpan(at + name.Length).TrimStart(' ');
        int end = rest.IndexOfAny(", ");
        int open = rest.IndexOf('(');
        if (open >= 0 && (end < 0 || open < end || rest[end..open].Trim(" ").IsEmpty))
        {
            int close = rest.IndexOf(')');
            end = close < 0 ? rest.Length : close + 1;
        }

        return rest[..Math.Min(end < 0 ? rest.Length : end, 1024)].ToString();
    }

    /// <summary>Reads the line with the kernel's release, the CPU and the task.</summary>
    public static void Machine(string text, KernelReport report, out KernelRelease? build)
    {
        build = null;
        int cpu = text.IndexOf("CPU:", StringComparison.Ordinal);
        if (cpu >= 0 && Number(text.AsSpan(cpu + 4)) is { } number)
        {
            report.Cpu = (int)Math.Min(number, int.MaxValue);
        }

        if (TaskOf(text) is { } task)
        {
            report.Task ??= task;
        }

        foreach (string word in (ReadOnlySpan<string>)["Not tainted", "Tainted:", "Linux version"])
        {
            int at = text.IndexOf(word, StringComparison.Ordinal);
            if (at < 0 || report.Release is not null)
            {
                continue;
            }

            foreach (string token in text[(at + word.Length)..].Split([' ', '\t', '(', ')'], StringSplitOptions.RemoveEmptyEntries))
            {
                if (token.Length < 200 && KernelRelease.TryParse(token, out KernelRelease version))
                {
                    report.Release = token;
                    report.Version = version;
                    break;
                }
            }
        }

        // Debian's release is that of the series; what it was built from stands at the end.
        int debian = text.IndexOf("Debian ", StringComparison.Ordinal);
        if (debian >= 0 && KernelRelease.TryParse(text.AsSpan(debian + 7), out KernelRelease source))
        {
            build = source;
        }
    }

    /// <summary>The task of a line about the CPU: behind <c>Comm:</c>, up to whether the kernel is tainted.</summary>
    public static string? TaskOf(string text)
    {
        int at = text.IndexOf("Comm:", StringComparison.Ordinal);
        at = at < 0 ? text.IndexOf("comm:", StringComparison.Ordinal) : at;
        if (at < 0)
        {
            return null;
        }

        ReadOnlySpan<char> rest = text.AsSpan(at + 5);
        int end = rest.IndexOf("Not tainted");
        end = end < 0 ? rest.IndexOf("Tainted:") : end;
        ReadOnlySpan<char> name = (end < 0 ? rest : rest[..end]).Trim();
        return name.IsEmpty || name.Length > MaxTaskName ? null : name.ToString();
    }

    /// <summary>The number at the beginning of a text, behind blanks; null for none.</summary>
    public static long? Number(ReadOnlySpan<char> text)
    {
        text = text.TrimStart(" \t");
        int digits = text.IndexOfAnyExceptInRange('0', '9');
        digits = digits < 0 ? text.Length : digits;
        return long.TryParse(text[..digits], NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value : null;
    }

    /// <summary>The number behind a word.</summary>
    public static long? NumberAfter(ReadOnlySpan<char> text, string word)
    {
        int at = text.IndexOf(word);
        return at < 0 ? null : Number(text[(at + word.Length)..]);
    }

    /// <summary>The number before a word.</summary>
    public static long? NumberBefore(ReadOnlySpan<char> text, string word)
    {
        int at = text.IndexOf(word);
        if (at < 0)
        {
            return null;
        }

        ReadOnlySpan<char> before = text[..at].TrimEnd(" \t");
        int start = before.Length;
        while (start > 0 && char.IsAsciiDigit(before[start - 1]))
        {
            start--;
        }

        return long.TryParse(before[start..], NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value : null;
    }

    private static string? Value(string text, string name)
    {
        int at = text.IndexOf(name, StringComparison.Ordinal);
        if (at < 0 || (at > 0 && (char.IsAsciiLetterOrDigit(text[at - 1]) || text[at - 1] == '_')))
        {
            return null;
        }

        ReadOnlySpan<char> rest = text.AsSpan(at + name.Length).TrimStart(' ');
        int end = 0;
        while (end < rest.Length && (char.IsAsciiDigit(rest[end]) || (end == 0 && rest[end] == '-')))
        {
            end++;
        }

        return rest[..end].ToString();
    }

    /// <summary>A list of nodes behind a name.</summary>
    private static string? Nodes(string text, string name)
    {
        int at = text.IndexOf(name, StringComparison.Ordinal);
        if (at < 0)
        {
            return null;
        }

        ReadOnlySpan<char> rest = text.AsSpan(at + name.Length).TrimStart(' ');
        if (rest.StartsWith("(null)", StringComparison.Ordinal))
        {
            return "(null)";
        }

        int end = 0;
        while (end < rest.Length && (char.IsAsciiDigit(rest[end]) || (rest[end] is ',' or '-' && end + 1 < rest.Length && char.IsAsciiDigit(rest[end + 1]))))
        {
            end++;
        }

        return end == 0 ? null : rest[..Math.Min(end, 512)].ToString();
    }

    private static string TaskName(ReadOnlySpan<char> text)
    {
        text = text.TrimEnd(" :").TrimStart();
        int bracket = text.LastIndexOf("] ");
        text = bracket >= 0 ? text[(bracket + 2)..].TrimStart() : text;
        return text[Math.Max(0, text.Length - MaxTaskName)..].ToString();
    }
}
