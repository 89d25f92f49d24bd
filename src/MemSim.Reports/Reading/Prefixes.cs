namespace MemSim.Reports.Reading;

/// <summary>Takes away what mailers, syslog, journald, containers and consoles put before the kernel's text.</summary>
internal static class Prefixes
{
    /// <summary>How far into a line a time stamp of the kernel is looked for.</summary>
    private const int StampReach = 160;

    private static readonly System.Buffers.SearchValues<char> DigitsAndCommas = System.Buffers.SearchValues.Create("0123456789,");
    private static readonly string[] Months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    private static readonly string[] Days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

    /// <summary>The kernel's text of a line.</summary>
    public static LogLine Strip(long number, string raw)
    {
        ReadOnlySpan<char> text = raw.AsSpan().TrimEnd("\r\n\t\0");
        bool endsWithBlank = text.Length != 0 && text[^1] == ' ';
        text = text.TrimEnd(' ');
        text = Quotes(text);
        bool stamped = false;
        string? caller = null;
        int stamp = FindStamp(text);
        if (stamp >= 0)
        {
            text = text[stamp..];
            stamped = true;
        }

        // Prefixes stand in any order and number; each round takes one away.
        for (int round = 0; round < 12 && !text.IsEmpty; round++)
        {
            ReadOnlySpan<char> rest = text.TrimStart(" \t\u00a0\ufeff");
            int length = One(rest, ref stamped, ref caller);
            text = rest[length..];
            if (length == 0)
            {
                break;
            }
        }

        return new LogLine(number, text.Length == raw.Length ? raw : text.ToString(), stamped, caller, endsWithBlank);
    }

    /// <summary>The text behind marks of quoting.</summary>
    public static ReadOnlySpan<char> Quotes(ReadOnlySpan<char> text)
    {
        while (true)
        {
            ReadOnlySpan<char> trimmed = text.TrimStart(" \t\u00a0");
            if (trimmed.IsEmpty || (trimmed[0] != '>' && !(trimmed[0] == '|' && trimmed.Length > 1 && trimmed[1] == ' ')))
            {
                return text;
            }

            text = trimmed[1..];
            if (!text.IsEmpty && text[0] == ' ')
            {
                text = text[1..];
            }
        }
    }

    /// <summary>Where the text behind the kernel's time stamp (<c>[  123.456789]</c>) begins, or -1.</summary>
    private static int FindStamp(ReadOnlySpan<char> text)
    {
        ReadOnlySpan<char> reach = text[..Math.Min(text.Length, StampReach)];
        int from = 0;
        while (true)
        {
            int open = reach[from..].IndexOf('[');
            if (open < 0)
            {
                return -1;
            }

            open += from;
            int close = reach[open..].IndexOf(']');
            if (close < 0)
            {
                return -1;
            }

            if (IsSeconds(reach.Slice(open + 1, close - 1)))
            {
                return open + close + 1;
            }

            from = open + 1;
        }
    }

    /// <summary>Whether a text is seconds since boot: digits, a point, three or more digits, perhaps a level (<c>,3</c>) or a letter of the CPU; or since the line before (<c>+0.000003</c>, <c>&lt;    0.000012></c>).</summary>
    public static bool IsSeconds(ReadOnlySpan<char> text)
    {
        text = text.Trim(' ');
        int since = text.IndexOf('<');
        text = since > 0 && text[^1] == '>' ? text[..since].TrimEnd(' ') : text;
        text = text.Length > 4 && text[0] == '+' ? text[1..] : text;
        int comma = text.IndexOf(',');
        text = comma > 0 ? text[..comma] : text;

        // A vendor's cpu-seconds.
        int dash = text.IndexOf('-');
        text = dash is > 0 and < 3 ? text[(dash + 1)..] : text;
        int point = text.IndexOf('.');
        return point > 0 && text.Length - point - 1 is >= 3 and <= 9 && text[..point].IndexOfAnyExceptInRange('0', '9') < 0 && text[(point + 1)..].IndexOfAnyExceptInRange('0', '9') < 0;
    }

    /// <summary>Length of one prefix at the beginning, 0 for none.</summary>
    private static int One(ReadOnlySpan<char> rest, ref bool stamped, ref string? caller)
    {
        if (rest.IsEmpty)
        {
            return 0;
        }

        return rest[0] switch
        {
            '<' => Level(rest),
            '[' => Bracket(rest, ref stamped, ref caller),
            '(' => Parenthesis(rest),
            '-' or '.' when rest.Length > 4 && rest[1] == '(' => Parenthesis(rest[1..]) is > 0 and int vendor ? vendor + 1 : 0,
            '*' or '#' or '/' => Comment(rest),
            >= 'A' and <= 'Z' when rest.Length > 4 && rest[1] == '[' && char.IsAsciiDigit(rest[2]) => Bracket(rest[1..], ref stamped, ref caller) is > 0 and int level ? level + 1 : 0,
            '\u001b' => Escape(rest),
            _ => stamped ? BehindStamp(rest) : Words(rest, ref stamped, ref caller),
        };
    }

    /// <summary><c>&lt;4&gt;</c> or <c>&lt;4>[</c>.</summary>
    private static int Level(ReadOnlySpan<char> text)
    {
        int close = text[..Math.Min(text.Length, 6)].IndexOf('>');
        return close > 1 && text[1..close].IndexOfAnyExceptInRange('0', '9') < 0 ? close + 1 : 0;
    }

    private static int Escape(ReadOnlySpan<char> text)
    {
        int end = text[..Math.Min(text.Length, 12)].IndexOf('m');
        return end > 0 ? end + 1 : 1;
    }

    /// <summary>MediaTek's <c>(3)[1234:name]</c>.</summary>
    private static int Parenthesis(ReadOnlySpan<char> text)
    {
        int close = text[..Math.Min(text.Length, 6)].IndexOf(')');
        return close > 1 && close + 1 < text.Length && text[close + 1] == '[' && text[1..close].IndexOfAnyExceptInRange('0', '9') < 0 ? close + 1 : 0;
    }

    /// <summary><c>* </c>, <c># </c> and <c>// </c> of comments. A title of a page is none: it lacks the flags.</summary>
    private static int Comment(ReadOnlySpan<char> text)
    {
        int length = text.StartsWith("//", StringComparison.Ordinal) ? 2 : text[0] == '/' ? 0 : 1;
        return length == 0 || length >= text.Length || text[length] != ' ' || (text.IndexOf("allocation failure") >= 0 && text.IndexOf("mode:") < 0) || (text.IndexOf("oom-killer") >= 0 && text.IndexOf("gfp_mask") < 0) ? 0 : length + 1;
    }

    private static int Bracket(ReadOnlySpan<char> text, ref bool stamped, ref string? caller)
    {
        int close = text[..Math.Min(text.Length, 64)].IndexOf(']');
        if (close < 2)
        {
            return 0;
        }

        ReadOnlySpan<char> inner = text[1..close].Trim(' ');
        if (inner.IsEmpty)
        {
            return 0;
        }

        // The caller that CONFIG_PRINTK_CALLER prints; some vendors add the CPU (T1234@C3).
        ReadOnlySpan<char> task = inner[1..];
        int at = task.IndexOf('@');
        task = at > 0 && at + 3 >= task.Length - 1 ? task[..at] : task;
        if (inner[0] is 'T' or 'C' && task.Length != 0 && task.IndexOfAnyExceptInRange('0', '9') < 0)
        {
            caller = inner.ToString();
            stamped = true;
            return close + 1;
        }

        if (IsDate(inner) && close + 1 < text.Length && text[close + 1] == ':')
        {
            stamped = true;
            return close + 2;
        }

        if (IsSeconds(inner) || IsDate(inner) || IsMinute(inner) || inner.StartsWith("<", StringComparison.Ordinal) && Level(inner) == inner.Length)
        {
            stamped = true;
            return close + 1;
        }

        // A vendor's [cpu:  name:  pid], [pid:name] or [pid:123,cpu4,name,0].
        int colon = inner.IndexOf(':');
        if (colon > 0 && (inner[..colon].IndexOfAnyExceptInRange('0', '9') < 0 || inner[..colon].SequenceEqual("pid")) && inner.Length > colon + 1)
        {
            caller = inner.ToString();
            return close + 1;
        }

        return 0;
    }

    /// <summary>A date with a time of day, in any of the usual forms.</summary>
    private static bool IsDate(ReadOnlySpan<char> text)
    {
        int colons = text.Count(':');
        if (colons < 2 || text.Length is < 8 or > 40)
        {
            return false;
        }

        int letters = 0;
        foreach (char c in text)
        {
            letters += char.IsAsciiLetter(c) ? 1 : 0;
            if (!char.IsAsciiLetterOrDigit(c) && c is not (' ' or ':' or '-' or '.' or '+' or '/' or ','))
            {
                return false;
            }
        }

        return letters == 0 ? IsClock(text[Math.Max(0, text.IndexOf(':') - 2)..]) : StartsWithAny(text, Days) || StartsWithAny(text, Months) || text.IndexOf('T') == 10;
    }

    /// <summary><c>Nov30 05:42</c> of <c>dmesg -e</c>.</summary>
    private static bool IsMinute(ReadOnlySpan<char> text) =>
        text.Length is >= 10 and <= 12 && StartsWithAny(text, Months) && text[^3] == ':' && char.IsAsciiDigit(text[^1]) && char.IsAsciiDigit(text[^2]) && char.IsAsciiDigit(text[^4]) && char.IsAsciiDigit(text[^5]);

    /// <summary>What may stand behind a stamp: the tag of syslog, a date of logcat, or Spreadtrum's CPU (<c>c2 sh invoked oom-killer</c>).</summary>
    private static int BehindStamp(ReadOnlySpan<char> text)
    {
        if (text.Length > 4 && text[0] == 'c' && char.IsAsciiDigit(text[1]) && text[2] == ' ' && !text[3..].StartsWith("invoked", StringComparison.Ordinal) && !text[3..].StartsWith("cpuset=", StringComparison.Ordinal))
        {
            return 3;
        }

        int date = Date(text);
        return date > 0 ? date + Math.Max(0, KernelTag(text[date..]))
            : KernelTag(text) is > 0 and int tag ? tag
            : StreamTag(text);
    }

    /// <summary>What containers put before a line.</summary>
    private static int StreamTag(ReadOnlySpan<char> text)
    {
        foreach (string stream in (ReadOnlySpan<string>)["stdout F ", "stderr F ", "stdout P ", "kmsg: "])
        {
            if (text.StartsWith(stream, StringComparison.Ordinal))
            {
                return stream.Length;
            }
        }

        return 0;
    }

    /// <summary>Syslog, journald, logcat, containers, levels of <c>dmesg -x</c>, numbers of <c>grep -n</c>.</summary>
    private static int Words(ReadOnlySpan<char> text, ref bool stamped, ref string? caller)
    {
        int date = Date(text);
        if (date > 0)
        {
            stamped = true;
            int kernel = KernelTag(text[date..]);
            return date + Math.Max(0, kernel);
        }

        int tag = KernelTag(text);
        if (tag > 0)
        {
            stamped = true;
            return tag;
        }

        int record = Record(text, ref caller);
        if (record > 0)
        {
            stamped = true;
            return record;
        }

        if (text.StartsWith("kern", StringComparison.Ordinal) && text.Length > 8)
        {
            // dmesg -x: "kern  :warn  : "
            int first = text[..Math.Min(text.Length, 12)].IndexOf(':');
            int second = first > 0 ? text[(first + 1)..Math.Min(text.Length, first + 12)].IndexOf(':') : -1;
            if (second > 0 && text[4..first].Trim(' ').IsEmpty)
            {
                return first + 1 + second + 1;
            }
        }

        if (StreamTag(text) is > 0 and int stream)
        {
            return stream;
        }

        // docker compose: "name-1  | "
        int bar = text[..Math.Min(text.Length, 64)].IndexOf(" | ");
        if (bar > 0 && text[..bar].TrimEnd(' ').IndexOfAny(" :=") < 0)
        {
            return bar + 3;
        }

        // talosctl: "10.1.2.3: kern: warning: "
        int facility = text[..Math.Min(text.Length, 64)].IndexOf(": kern: ");
        if (facility > 0 && text[..facility].IndexOf(' ') < 0 && text[(facility + 8)..].IndexOf(": ") is > 0 and < 12 and int severity)
        {
            return facility + 8 + severity + 2;
        }

        // cat -n, and numbers with points
        int digits = text.IndexOfAnyExceptInRange('0', '9');
        if (digits is > 0 and < 7 && digits + 2 < text.Length && (text[digits] == '\t' || (text[digits] == '.' && text[digits + 1] == ' ')))
        {
            return digits + 1;
        }

        // grep -n: "123:[" or "123:Mem-Info"
        return digits is > 0 and < 9 && digits + 1 < text.Length && text[digits] is ':' or '-' && (text[digits + 1] == '[' || char.IsAsciiLetter(text[digits + 1]) || text[digits + 1] == ' ')
            ? digits + 1
            : 0;
    }

    /// <summary><c>/dev/kmsg</c> and extended netconsole (<c>4,1234,12345678,-,caller=T45;</c>), fields of journald's export, the version of RFC 5424, seconds of journald; 0 for none.</summary>
    private static int Record(ReadOnlySpan<char> text, ref string? caller)
    {
        if (text.StartsWith("MESSAGE=", StringComparison.Ordinal))
        {
            return 8;
        }

        int digits = text.IndexOfAnyExceptInRange('0', '9');
        if (digits is <= 0 or > 12 || digits + 2 >= text.Length)
        {
            return 0;
        }

        if (digits == 1 && text[1] == ' ' && Date(text[2..]) > 0)
        {
            return 2;
        }

        if (text[digits] == ',')
        {
            int end = text[..Math.Min(text.Length, 96)].IndexOf(';');
            ReadOnlySpan<char> fields = end > 0 ? text[..end] : [];
            int third = fields.Count(',') >= 3 ? digits + 1 + fields[(digits + 1)..].IndexOf(',') : 0;
            if (third == 0 || fields[..third].IndexOfAnyExcept(DigitsAndCommas) >= 0)
            {
                return 0;
            }

            int from = fields.IndexOf("caller=");
            caller = from >= 0 ? fields[(from + 7)..].ToString() : caller;
            return end + 1;
        }

        // 1714557296.123456 host kernel: text
        int blank = text[..Math.Min(text.Length, 24)].IndexOf(' ');
        return digits == 10 && text[10] == '.' && blank > 12 && text[11..blank].IndexOfAnyExceptInRange('0', '9') < 0 && KernelTag(text[(blank + 1)..]) > 0 ? blank + 1 : 0;
    }

    /// <summary>Length of a date and time of day at the beginning, 0 for none.</summary>
    private static int Date(ReadOnlySpan<char> text)
    {
        if (text.Length < 12)
        {
            return 0;
        }

        // 2026-11-30T05:42:05.123456+00:00 or 2026-11-30 05:42:05
        if (char.IsAsciiDigit(text[0]) && text.Length > 19 && text[4] is '-' or '/' && text[7] == text[4] && IsClock(text[11..]))
        {
            int end = text[11..].IndexOf(' ');
            return end < 0 ? 0 : 11 + end + 1;
        }

        // logcat: 03-19 10:05:52.172     0     0 W kernel  :
        if (char.IsAsciiDigit(text[0]) && text[2] == '-' && text[5] == ' ' && IsClock(text[6..]))
        {
            int end = text[6..].IndexOf(' ');
            return end < 0 ? 0 : 6 + end + 1;
        }

        // Nov 30 05:42:05, also with a day or a year
        int at = StartsWithAny(text, Days) && text[3] == ' ' ? 4 : 0;
        ReadOnlySpan<char> rest = text[at..];
        if (at != 0 && rest.Length > 24 && char.IsAsciiDigit(rest[0]) && rest[4] == '-' && IsClock(rest[11..]))
        {
            // journald -o short-full: Wed 2026-05-01 12:34:56 CEST host kernel: text
            int end = rest[11..].IndexOf(' ');
            return end < 0 ? 0 : at + 11 + end + 1;
        }

        if (rest.Length > 15 && StartsWithAny(rest, Months) && rest[3] == ' ')
        {
            for (int clock = 5; clock <= 12 && clock + 8 < rest.Length; clock++)
            {
                if (rest[clock - 1] == ' ' && IsClock(rest[clock..]))
                {
                    int end = rest[clock..].IndexOf(' ');
                    return end < 0 ? 0 : at + clock + end + 1;
                }
            }
        }

        // 05:42:05 alone
        if (IsClock(text))
        {
            int end = text.IndexOf(' ');
            return end is > 0 and < 20 ? end + 1 : 0;
        }

        return 0;
    }

    private static bool IsClock(ReadOnlySpan<char> text) =>
        text.Length >= 8 && char.IsAsciiDigit(text[0]) && char.IsAsciiDigit(text[1]) && text[2] == ':' && char.IsAsciiDigit(text[3]) && char.IsAsciiDigit(text[4])
        && text[5] == ':' && char.IsAsciiDigit(text[6]) && char.IsAsciiDigit(text[7]);

    /// <summary>Length up to and with <c>kernel:</c>, which at most a host, a level and process ids may precede; 0 for none.</summary>
    private static int KernelTag(ReadOnlySpan<char> text)
    {
        ReadOnlySpan<char> reach = text[..Math.Min(text.Length, 96)];
        int at = reach.IndexOf("kernel");
        if (at < 0 || (at > 0 && reach[at - 1] is not (' ' or '.' or '/' or '|')))
        {
            return 0;
        }

        int end = at + "kernel".Length;
        while (end < reach.Length && (char.IsAsciiDigit(reach[end]) || reach[end] is '[' or ']' or ' '))
        {
            end++;
        }

        ReadOnlySpan<char> empty = reach[Math.Min(reach.Length, at + "kernel".Length)..];
        if (empty.StartsWith(" - - - ", StringComparison.Ordinal))
        {
            return at + "kernel".Length + 7;
        }

        if (end >= reach.Length || reach[end] != ':')
        {
            return 0;
        }

        // What stands before is at most a few short words.
        ReadOnlySpan<char> before = reach[..at].Trim(' ');
        return before.Count(' ') > 12 || before.IndexOf(": ") >= 0 ? 0 : end + 1;
    }

    private static bool StartsWithAny(ReadOnlySpan<char> text, string[] words)
    {
        foreach (string word in words)
        {
            if (text.StartsWith(word, StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }
}
