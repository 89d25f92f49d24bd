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
        ["/dev/kmsg"] = t => Each(t, l => "4,1234,12345678,-;" + WithoutStamp(l)),
        ["/dev/kmsg with callers"] = t => Each(t, l => "4,1234,12345678,-,caller=T45;" + WithoutStamp(l)),
        ["RFC 5424"] = t => Each(t, l => "<4>1 2026-11-30T05:42:05.123456Z host kernel - - - [   12.345678] " + WithoutStamp(l)),
        ["RFC 5424 without stamps"] = t => Each(t, l => "<4>1 2026-11-30T05:42:05.123456+01:00 host kernel - - - " + WithoutStamp(l)),
        ["dmesg, ISO dates"] = t => Each(t, l => "2026-11-30T05:42:05,123456+01:00 " + WithoutStamp(l)),
        ["dmesg -e"] = t => string.Join('\n', t.Split('\n').Select((l, i) => l.Length == 0 ? l : i % 9 == 0 ? "[Nov30 05:42] " + WithoutStamp(l) : "[  +0.000003] " + WithoutStamp(l))),
        ["dmesg -d"] = t => Each(t, l => "[   12.345678 <    0.000012>] " + WithoutStamp(l)),
        ["journald, monotonic"] = t => Each(t, l => "[   12.345678] host kernel: " + WithoutStamp(l)),
        ["journald, unix"] = t => Each(t, l => "1714557296.123456 host kernel: " + WithoutStamp(l)),
        ["journald, full"] = t => Each(t, l => "Wed 2026-05-01 12:34:56 CEST host kernel: " + WithoutStamp(l)),
        ["journald, export"] = t => Each(t, l => "__REALTIME_TIMESTAMP=1714557296123456\n_TRANSPORT=kernel\nPRIORITY=4\nMESSAGE=" + WithoutStamp(l)),
        ["journald, verbose"] = t => Each(t, l => "Wed 2026-05-01 12:34:56.123456 CEST [s=aa;i=1;b=bb;m=1;t=1;x=1]\n    _TRANSPORT=kernel\n    PRIORITY=4\n    MESSAGE=" + WithoutStamp(l)),
        ["ChromeOS"] = t => Each(t, l => "2026-05-01T10:12:13.123456Z WARNING kernel: [   12.345678] " + WithoutStamp(l)),
        ["Samsung"] = t => Each(t, l => "<6>[   12.345678] I[2:        kswapd0:   45] " + WithoutStamp(l)),
        ["Samsung's GKI"] = t => Each(t, l => "[   12.345678] [4:  kworker/u16:3:  123] " + WithoutStamp(l)),
        ["MediaTek"] = t => Each(t, l => "<4>[   12.345678]  -(2)[123:kswapd0]" + WithoutStamp(l)),
        ["MediaTek, dots"] = t => Each(t, l => "[   12.345678] .(0)[123:kswapd0]" + WithoutStamp(l)),
        ["Huawei"] = t => Each(t, l => "<4>[12345.678901] [pid:123,cpu4,kswapd0,0]" + WithoutStamp(l)),
        ["callers and CPUs"] = t => Each(t, l => "[   12.345678][ T1234@C3] " + WithoutStamp(l)),
        ["a page with line breaks"] = t => Each(t, l => l + "<br />"),
        ["a page with short line breaks"] = t => Each(t, l => l + "<br>"),
        ["a serial console"] = t => t.Replace("\n", "\r\r\n"),
        ["cat -n"] = t => string.Join('\n', t.Split('\n').Select((l, i) => $"{i + 1,6}\t{l}")),
        ["numbered with points"] = t => string.Join('\n', t.Split('\n').Select((l, i) => $"{i + 1}. {l}")),
        ["numbered with colons"] = t => string.Join('\n', t.Split('\n').Select((l, i) => $"{i + 1,5}: {l}")),
        ["a table of commas"] = t => Each(t, l => $"\"2026-11-30 05:42:05\",\"host\",\"kernel\",\"{l.Replace("\"", "\"\"", StringComparison.Ordinal)}\""),
        ["BusyBox"] = t => Each(t, l => "Nov 30 05:42:05 host kern.warn kernel: " + WithoutStamp(l)),
        ["docker compose"] = t => Each(t, l => "node-1       | " + l),
        ["GitHub Actions"] = t => Each(t, l => "2026-11-30T05:42:05.1234567Z " + l),
        ["Jenkins"] = t => Each(t, l => "[2026-11-30T05:42:05.123Z] " + l),
        ["Talos"] = t => Each(t, l => "10.1.2.3: kern: warning: [2026-05-01T12:34:56.123456789Z]: " + WithoutStamp(l)),
        ["logfmt"] = t => Each(t, l => "ts=2026-05-01T12:34:56Z level=warn host=node1 msg=\"" + WithoutStamp(l).Replace("\"", "\\\"", StringComparison.Ordinal) + "\""),
        ["ISO dates with facility"] = t => Each(t, l => "2026-11-30T05:42:05+00:00 host kern.warning kernel: " + WithoutStamp(l)),
        ["the tag twice"] = t => Each(t, l => "Nov 30 05:42:05 host kernel: kernel: [   12.345678] " + WithoutStamp(l)),
        ["a comment of C"] = t => Each(t, l => " * " + l),
        ["a comment of a script"] = t => Each(t, l => "# " + l),
        ["a comment of C++"] = t => Each(t, l => "// " + l),
        ["tabs before"] = t => Each(t, l => "\t" + l),
        ["blanks that do not break"] = t => t.Replace(' ', '\u00a0'),
        ["a cloud's log"] = t => Each(t, l => JsonSerializer.Serialize(new { insertId = "a", jsonPayload = new { message = l, _HOSTNAME = "node" }, resource = new { type = "k8s_node" } })),
        ["a search engine's log"] = t => Each(t, l => "{\"@timestamp\":\"2026-11-30T05:42:05Z\",\"host\":{\"name\":\"node\"},\"message\":" + JsonSerializer.Serialize(l) + "}"),
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
