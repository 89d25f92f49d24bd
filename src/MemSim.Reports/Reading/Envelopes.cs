using System.Text.Json;

namespace MemSim.Reports.Reading;

/// <summary>Takes the kernel's text out of what programs write around whole lines: JSON, tables of commas, <c>msg="..."</c>, line breaks of web pages.</summary>
internal static class Envelopes
{
    private const int MaxDepth = 32;

    /// <summary>How deep the message may lie in a document.</summary>
    private const int MessageDepth = 2;

    private static readonly string[] Messages = ["log", "MESSAGE", "message", "msg", "textPayload"];

    // The objects that clouds and search engines wrap an entry in.
    private static readonly string[] Wrappers = ["jsonPayload", "_source", "fields", "kubernetes", "event", "data", "body", "result"];

    /// <summary>The line without line breaks of a web page, and with blanks for those that do not break.</summary>
    public static string Plain(string raw)
    {
        if (raw.Contains('\u00a0'))
        {
            raw = raw.Replace('\u00a0', ' ');
        }

        if (!raw.EndsWith('>') && !raw.EndsWith(">\r", StringComparison.Ordinal))
        {
            return raw;
        }

        ReadOnlySpan<char> text = raw.AsSpan().TrimEnd(" \r");
        int open = text.LastIndexOf('<');
        return open >= 0 && text[open..] is "<br>" or "<br/>" or "<br />" or "<BR>" or "</br>" ? raw[..open] : raw;
    }

    /// <summary>The text inside of what stands around the whole line; the line itself where nothing does.</summary>
    public static string Open(string raw)
    {
        ReadOnlySpan<char> text = raw.AsSpan().Trim(" \t\r,");
        if (text.Length < 8)
        {
            return raw;
        }

        if (text[0] == '{')
        {
            return FromJson(raw) ?? raw;
        }

        if (text[^1] != '"')
        {
            return raw;
        }

        // "date","host","text": the last column is the message.
        int column = text[..^1].LastIndexOf(",\"");
        if (text[0] == '"' && column > 0)
        {
            return text[(column + 2)..^1].ToString().Replace("\"\"", "\"", StringComparison.Ordinal);
        }

        if (text[0] == '"' && text[1..^1].IndexOf('"') < 0)
        {
            return text[1..^1].ToString();
        }

        int message = text.IndexOf(" msg=\"");
        return message >= 0 && text[..message].Contains('=')
            ? text[(message + 6)..^1].ToString().Replace("\\\"", "\"", StringComparison.Ordinal)
            : raw;
    }

    /// <summary>Parts of a line in which a page or a mailer lost the line breaks: each begins with a stamp of the kernel. Null where there is one part.</summary>
    public static List<string>? Parts(string raw)
    {
        List<int> stamps = [];
        int joined = 0;
        for (int open = raw.IndexOf('[', StringComparison.Ordinal); open >= 0 && stamps.Count < 4096; open = raw.IndexOf('[', open + 1))
        {
            int close = raw.AsSpan(open, Math.Min(24, raw.Length - open)).IndexOf(']');
            if (close > 0 && Prefixes.IsSeconds(raw.AsSpan(open + 1, close - 1)))
            {
                stamps.Add(open);
                joined += open > 0 && raw[open - 1] != ' ' && raw[open - 1] != '>' && raw[open - 1] != '\t' && raw[open - 1] != ':' && raw[open - 1] != 'm' ? 1 : 0;
            }
        }

        if (stamps.Count < 2 || (joined == 0 && stamps.Count < 4))
        {
            return null;
        }

        List<string> parts = [];
        int from = 0;
        foreach (int at in stamps)
        {
            // Two stamps with next to nothing between them belong to one line.
            if (at - from > 30 || (from == 0 && at > 0 && parts.Count == 0 && at > 60))
            {
                parts.Add(raw[from..at]);
                from = at;
            }
        }

        parts.Add(raw[from..]);
        return parts.Count > 1 ? parts : null;
    }

    /// <summary>The message in a line of docker's, journald's or a cloud's JSON; null where there is none.</summary>
    private static string? FromJson(string raw)
    {
        if (!Array.Exists(Messages, m => raw.Contains($"\"{m}\"", StringComparison.Ordinal)))
        {
            return null;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(raw.Trim().TrimEnd(','), new JsonDocumentOptions { MaxDepth = MaxDepth });
            return document.RootElement.ValueKind == JsonValueKind.Object ? MessageIn(document.RootElement, MessageDepth) : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    private static string? MessageIn(JsonElement entry, int depth)
    {
        foreach (string name in Messages)
        {
            if (!entry.TryGetProperty(name, out JsonElement value))
            {
                continue;
            }

            if (value.ValueKind == JsonValueKind.String)
            {
                return Stamped(entry, value.GetString() ?? "");
            }

            // journald writes messages with unprintable characters as an array of bytes.
            if (value.ValueKind == JsonValueKind.Array)
            {
                byte[] bytes = [.. value.EnumerateArray().Where(b => b.ValueKind == JsonValueKind.Number && b.TryGetByte(out _)).Select(b => b.GetByte())];
                return Stamped(entry, System.Text.Encoding.UTF8.GetString(bytes));
            }
        }

        foreach (string name in Wrappers)
        {
            if (depth > 0 && entry.TryGetProperty(name, out JsonElement inner) && inner.ValueKind == JsonValueKind.Object && MessageIn(inner, depth - 1) is { } message)
            {
                return message;
            }
        }

        return null;
    }

    /// <summary>The message with a stamp, so that it is known to be one of its own.</summary>
    private static string Stamped(JsonElement root, string message)
    {
        message = message.TrimEnd('\n', '\r');
        return root.TryGetProperty("_TRANSPORT", out _) || root.TryGetProperty("SYSLOG_IDENTIFIER", out _) ? "kernel: " + message : message;
    }
}
