using System.Runtime.CompilerServices;
using System.Text;

namespace MemSim.Recordings.Import;

/// <summary>Walks over the fields of one line, which single or repeated spaces separate; reads range-checked numbers without allocating.</summary>
internal ref struct Utf8Fields(ReadOnlySpan<byte> text)
{
    private ReadOnlySpan<byte> _rest = text;

    /// <summary>What has not been read.</summary>
    public readonly ReadOnlySpan<byte> Rest => _rest;

    /// <summary>Whether only spaces are left.</summary>
    public readonly bool AtEnd => _rest.IndexOfAnyExcept((byte)' ') < 0;

    /// <summary>The next field; false at the end of the line.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryNext(out ReadOnlySpan<byte> field)
    {
        int start = _rest.IndexOfAnyExcept((byte)' ');
        if (start < 0)
        {
            field = default;
            return false;
        }

        _rest = _rest[start..];
        int end = _rest.IndexOf((byte)' ');
        if (end < 0)
        {
            end = _rest.Length;
        }

        field = _rest[..end];
        _rest = _rest[end..];
        return true;
    }

    /// <summary>The next field as a decimal number within bounds, with a sign when it is negative.</summary>
    public bool TryDecimal(long min, long max, out long value)
    {
        value = 0;
        return TryNext(out ReadOnlySpan<byte> field) && TryParseDecimal(field, out value) && value >= min && value <= max;
    }

    /// <summary>The next field when it is exactly the word given.</summary>
    public bool TryWord(ReadOnlySpan<byte> word) => TryNext(out ReadOnlySpan<byte> field) && field.SequenceEqual(word);

    /// <summary>Reads decimal digits, all of them, with an optional minus sign; false when there are none, others, or too many for 64 bits.</summary>
    public static bool TryParseDecimal(ReadOnlySpan<byte> digits, out long value)
    {
        value = 0;
        bool negative = digits.Length > 1 && digits[0] == (byte)'-';
        if (negative)
        {
            digits = digits[1..];
        }

        // 18 digits always fit.
        if (digits.Length is 0 or > 18)
        {
            return false;
        }

        foreach (byte c in digits)
        {
            uint digit = (uint)(c - '0');
            if (digit > 9)
            {
                return false;
            }

            value = (value * 10) + digit;
        }

        value = negative ? -value : value;
        return true;
    }

    /// <summary>Reads hexadecimal digits with or without <c>0x</c>; false when there are none, others, or more than 16.</summary>
    public static bool TryParseHex(ReadOnlySpan<byte> digits, out ulong value)
    {
        value = 0;
        if (digits.Length > 2 && digits[0] == (byte)'0' && (digits[1] | 0x20) == 'x')
        {
            digits = digits[2..];
        }

        if (digits.Length is 0 or > 16)
        {
            return false;
        }

        foreach (byte c in digits)
        {
            int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
            if (digit is < 0 or > 15 || (c > '9' && digit < 10))
            {
                return false;
            }

            value = (value << 4) | (uint)digit;
        }

        return true;
    }

    /// <summary>Bytes as text for a message, cut off where they would swamp it.</summary>
    public static string Quote(ReadOnlySpan<byte> text) => text.Length <= 80 ? $"'{Encoding.UTF8.GetString(text)}'" : $"'{Encoding.UTF8.GetString(text[..77])}...'";
}
