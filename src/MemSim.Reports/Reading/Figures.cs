using System.Globalization;

namespace MemSim.Reports.Reading;

/// <summary>Walks over <c>name:123kB</c> in a line; names and numbers may have a blank between them, names parentheses.</summary>
internal ref struct Figures(ReadOnlySpan<char> text)
{
    private ReadOnlySpan<char> _rest = text;

    /// <summary>The name found last.</summary>
    public ReadOnlySpan<char> Name { get; private set; }

    /// <summary>Its number.</summary>
    public long Value { get; private set; }

    /// <summary>Whether a unit of KiB stood behind it.</summary>
    public bool IsKiB { get; private set; }

    /// <summary>Goes to the next figure.</summary>
    public bool Next()
    {
        while (true)
        {
            int colon = _rest.IndexOf(':');
            if (colon < 0)
            {
                return false;
            }

            int start = colon;
            while (start > 0 && IsNamePart(_rest[start - 1]))
            {
                start--;
            }

            ReadOnlySpan<char> name = _rest[start..colon];
            _rest = _rest[(colon + 1)..];
            ReadOnlySpan<char> number = _rest.TrimStart(' ');
            int digits = number.IndexOfAnyExceptInRange('0', '9');
            digits = digits < 0 ? number.Length : digits;
            bool negative = digits == 0 && number.Length > 1 && number[0] == '-' && char.IsAsciiDigit(number[1]);
            if (negative)
            {
                digits = 1 + Math.Max(0, number[1..].IndexOfAnyExceptInRange('0', '9'));
            }

            if (name.IsEmpty || digits == 0 || !long.TryParse(number[..digits], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value))
            {
                continue;
            }

            _rest = number[digits..];
            IsKiB = _rest.Length >= 2 && _rest[0] is 'k' or 'K' && _rest[1] is 'B' or 'b';
            Name = name;
            Value = value;
            return true;
        }
    }

    private static bool IsNamePart(char c) => char.IsAsciiLetterOrDigit(c) || c is '_' or '(' or ')' or '+' or '-';
}
