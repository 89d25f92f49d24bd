using System.Text;

namespace MemSim.Reports.Reading;

/// <summary>Undoes what containers, journald, rsyslog, mailers and web pages did to whole lines: JSON, <c>#012</c>, quoted-printable, entities, colours.</summary>
internal sealed class LineDecoder
{
    /// <summary>Lines for which one sign of quoted-printable holds.</summary>
    private const int QuotedPrintableReach = 400;

    /// <summary>Up to this length a line is one.</summary>
    private const int ShortLine = 96;

    private readonly Queue<(long Number, string Text)> _ready = new();
    private StringBuilder? _soft;
    private long _softNumber;
    private long _quotedPrintableUntil = -1;

    /// <summary>Tells of a line to come, so that a soft break is known before the first sign of it.</summary>
    public void LookAt(long number, string raw)
    {
        if (HasQuotedPrintable(raw))
        {
            _quotedPrintableUntil = number + QuotedPrintableReach;
        }
    }

    /// <summary>Takes a line.</summary>
    public void Add(long number, string raw)
    {
        if (raw.Contains('\u001b'))
        {
            raw = WithoutEscapes(raw);
        }

        raw = Envelopes.Plain(raw);

        if (raw.Contains('&'))
        {
            raw = raw.Replace("&gt;", ">", StringComparison.Ordinal).Replace("&lt;", "<", StringComparison.Ordinal).Replace("&quot;", "\"", StringComparison.Ordinal)
                .Replace("&nbsp;", " ", StringComparison.Ordinal).Replace("&#39;", "'", StringComparison.Ordinal).Replace("&amp;", "&", StringComparison.Ordinal);
        }

        if (number <= _quotedPrintableUntil || _soft is not null)
        {
            AddQuotedPrintable(number, raw);
            return;
        }

        Split(number, raw);
    }

    /// <summary>Ends the text.</summary>
    public void Finish()
    {
        if (_soft is { } soft)
        {
            _soft = null;
            Split(_softNumber, Unquote(soft.ToString()));
        }
    }

    /// <summary>Gives the next line.</summary>
    public bool Next(out long number, out string text)
    {
        if (_ready.TryDequeue(out (long Number, string Text) line))
        {
            (number, text) = line;
            return true;
        }

        (number, text) = (0, "");
        return false;
    }

    private void AddQuotedPrintable(long number, string raw)
    {
        string line = raw;
        if (_soft is not null)
        {
            // A mailer that quoted after encoding put its marks before the rest as well.
            ReadOnlySpan<char> rest = Prefixes.Quotes(line);
            line = rest.Length != line.Length && Prefixes.Quotes(_soft.ToString()).Length != _soft.Length ? rest.ToString() : line;
        }

        bool soft = line.EndsWith('=') && raw.Length <= 80 && (_soft?.Length ?? 0) < 16_000;
        if (!soft && _soft is null)
        {
            Split(number, Unquote(line));
            return;
        }

        if (_soft is null)
        {
            _soft = new StringBuilder();
            _softNumber = number;
        }

        _soft.Append(soft ? line.AsSpan(0, line.Length - 1) : line);
        if (!soft)
        {
            string whole = _soft.ToString();
            _soft = null;
            Split(_softNumber, Unquote(whole));
        }
    }

    private void Split(long number, string raw)
    {
        raw = Envelopes.Open(raw);

        if (raw.Contains("#012", StringComparison.Ordinal))
        {
            raw = raw.Replace("#012", "\n", StringComparison.Ordinal);
        }

        if (raw.Contains("\\n", StringComparison.Ordinal) && (raw.Contains("active_file", StringComparison.Ordinal) || raw.Contains("Mem-Info", StringComparison.Ordinal)))
        {
            raw = raw.Replace("\\n", "\n", StringComparison.Ordinal);
        }

        if (!raw.Contains('\n'))
        {
            if (raw.Length > ShortLine && Envelopes.Parts(raw) is { } stamped)
            {
                stamped.ForEach(part => _ready.Enqueue((number, part)));
                return;
            }

            _ready.Enqueue((number, raw));
            return;
        }

        int parts = 0;
        foreach (string part in raw.Split('\n'))
        {
            if (part.Length != 0 && ++parts <= 1024)
            {
                _ready.Enqueue((number, part));
            }
        }
    }

    private static bool HasQuotedPrintable(string raw)
    {
        int at = raw.IndexOf('=');
        while (at >= 0 && at + 2 < raw.Length)
        {
            if (raw.AsSpan(at + 1, 2) is "3D" or "20" or "09" or "C2" or "A0" or "E2" && (raw[at + 1] != '2' || at + 3 >= raw.Length))
            {
                return true;
            }

            at = raw.IndexOf('=', at + 1);
        }

        return false;
    }

    private static string Unquote(string text)
    {
        if (!text.Contains('='))
        {
            return text;
        }

        StringBuilder plain = new(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '=' && i + 2 < text.Length && IsUpperHex(text[i + 1]) && IsUpperHex(text[i + 2])
                && int.TryParse(text.AsSpan(i + 1, 2), System.Globalization.NumberStyles.AllowHexSpecifier, System.Globalization.CultureInfo.InvariantCulture, out int value) && value is 0x3d or 0x20 or 0x09 or >= 0x7f)
            {
                plain.Append(value < 0x7f ? (char)value : ' ');
                i += 2;
            }
            else
            {
                plain.Append(text[i]);
            }
        }

        return plain.ToString();
    }

    private static bool IsUpperHex(char c) => char.IsAsciiDigit(c) || c is >= 'A' and <= 'F';

    private static string WithoutEscapes(string raw)
    {
        StringBuilder plain = new(raw.Length);
        for (int i = 0; i < raw.Length; i++)
        {
            if (raw[i] == '\u001b')
            {
                int end = i + 1;
                while (end < raw.Length && end - i < 16 && !char.IsAsciiLetter(raw[end]))
                {
                    end++;
                }

                i = end;
                continue;
            }

            plain.Append(raw[i]);
        }

        return plain.ToString();
    }
}
