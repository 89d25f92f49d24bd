using System.Text;
using System.Text.Json;

namespace MemSim.Reports.Tests;

/// <summary>What programs and people do to a kernel log before somebody reads it.</summary>
internal static class Wrappings
{
    public static readonly IReadOnlyDictionary<string, Func<string, string>> All = new Dictionary<string, Func<string, string>>(StringComparer.Ordinal)
    {
        ["as it is"] = t => t,
        ["CRLF"] = t => t.Replace("\n", "\r\n"),
        ["blank lines between"] = t => t.Replace("\n", "\n\n"),
        ["quoted"] = t => Each(t, l => "> " + l),
        ["quoted three times"] = t => Each(t, l => "> >> " + l),
        ["indented"] = t => Each(t, l => "    " + l),
        ["bars"] = t => Each(t, l => "| " + l),
        ["syslog"] = t => Each(t, l => "Nov  3 07:08:09 host kernel: " + l),
        ["syslog without stamps"] = t => Each(t, l => "Nov 13 07:08:09 host kernel: " + WithoutStamp(l)),
        ["journald, ISO dates"] = t => Each(t, l => "2026-11-30T05:42:05.123456+00:00 host kernel: " + WithoutStamp(l)),
        ["journald, JSON"] = t => Each(t, l => JsonSerializer.Serialize(new { MESSAGE = WithoutStamp(l), PRIORITY = "4", _TRANSPORT = "kernel", __REALTIME_TIMESTAMP = "1" })),
        ["docker"] = t => Each(t, l => JsonSerializer.Serialize(new { log = l + "\n", stream = "stdout", time = "2026-11-30T05:42:05Z" })),
        ["kubectl"] = t => Each(t, l => "2026-11-30T05:42:05.123456789Z stdout F " + l),
        ["levels"] = t => Each(t, l => "<4>" + l),
        ["dmesg -x"] = t => Each(t, l => "kern  :warn  : " + l),
        ["dmesg -T"] = t => Each(t, l => "[Thu Apr  1 16:45:10 2021] " + WithoutStamp(l)),
        ["callers"] = t => Each(t, l => "[   12.345678][ T1234] " + WithoutStamp(l)),
        ["a vendor's CPU and task"] = t => Each(t, l => "[   12.345678] (3)[1234:kworker/u8:2]" + WithoutStamp(l)),
        ["another vendor's CPU and task"] = t => Each(t, l => "[   12.345678]  [3:   kworker/3:1:  123] " + WithoutStamp(l)),
        ["a second stamp"] = t => Each(t, l => "[   36.172486] [03-19 10:05:52.172] " + WithoutStamp(l)),
        ["logcat"] = t => Each(t, l => "06-21 10:00:00.000     0     0 W kernel  : " + WithoutStamp(l)),
        ["a log of OpenWrt"] = t => Each(t, l => "Sat Jan 27 00:14:32 2024 kern.warn kernel: [  795.398379] " + WithoutStamp(l)),
        ["grep -n"] = t => string.Join('\n', t.Split('\n').Select((l, i) => $"{i + 1}:{l}")),
        ["colours"] = t => Each(t, l => "\u001b[32m[   12.345678] \u001b[0m\u001b[33m" + WithoutStamp(l) + "\u001b[0m"),
        ["entities"] = t => Each(t, l => "&gt; " + l.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;")),
        ["quoted-printable"] = t => Each(t, l => QuotedPrintable(l)),
        ["quoted, then quoted-printable"] = t => Each(t, l => QuotedPrintable("> " + l)),
        ["trailing blanks"] = t => Each(t, l => l + "      "),
        ["a mailer at 76, blanks kept"] = t => Each(t, l => Folded(l, 76, keep: true)),
        ["a mailer at 72"] = t => Each(t, l => Folded(l, 72, keep: false)),
        ["a mailer at 80, quoted after"] = t => Each(Each(t, l => Folded(l, 80, keep: true)), l => "> " + l),
        ["a terminal of 100 columns"] = t => Each(t, l => Cut(l, 100)),
        ["other lines between"] = t => Each(t, l => l + "\n[   12.500000] eth0: link is up"),
    };

    /// <summary>The text without any prefix that hides whose line it is.</summary>
    public static string WithoutStamp(string line)
    {
        int close = line.IndexOf(']', StringComparison.Ordinal);
        return line.StartsWith('[') && close is > 0 and < 20 && line[..close].Contains('.', StringComparison.Ordinal) ? line[(close + 1)..].TrimStart(' ') : line;
    }

    private static string Each(string text, Func<string, string> change) => string.Join('\n', text.Split('\n').Select(l => l.Length == 0 ? l : change(l)));

    private static string QuotedPrintable(string line)
    {
        StringBuilder text = new();
        int column = 0;
        foreach (char c in line)
        {
            string part = c == '=' ? "=3D" : c.ToString();
            if (column + part.Length > 75)
            {
                text.Append("=\n");
                column = 0;
            }

            text.Append(part);
            column += part.Length;
        }

        return text.ToString();
    }

    private static string Folded(string line, int width, bool keep)
    {
        StringBuilder text = new();
        while (line.Length > width)
        {
            int blank = line.LastIndexOf(' ', width);
            if (blank < 20)
            {
                break;
            }

            text.Append(line, 0, keep ? blank + 1 : blank).Append('\n');
            line = line[(blank + 1)..];
        }

        return text.Append(line).ToString();
    }

    private static string Cut(string line, int width)
    {
        StringBuilder text = new();
        for (int at = 0; at < line.Length; at += width)
        {
            text.Append(line.AsSpan(at, Math.Min(width, line.Length - at))).Append('\n');
        }

        return text.ToString().TrimEnd('\n');
    }
}
