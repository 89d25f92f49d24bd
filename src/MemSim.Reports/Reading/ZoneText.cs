using System.Globalization;

namespace MemSim.Reports.Reading;

/// <summary>Reads the lines about nodes, zones and free blocks.</summary>
internal static class ZoneText
{
    private const int MaxOrders = 32;
    private const int MaxReserves = 16;

    /// <summary>Whether a line has a zone's name, <c>free:</c> with a number and <c>min:</c>.</summary>
    public static bool IsZoneLine(ReadOnlySpan<char> t)
    {
        int free = FreeAt(t);
        return free > 0 && t[free..].IndexOf(" min:") is > 0 and < 80;
    }

    /// <summary>Whether a line is one of <c>Node 0 active_anon:...kB</c>.</summary>
    public static bool IsNodeLine(ReadOnlySpan<char> t)
    {
        int at = t.IndexOf("Node ");
        if (at < 0)
        {
            return false;
        }

        ReadOnlySpan<char> rest = t[(at + 5)..];
        int digits = rest.IndexOfAnyExceptInRange('0', '9');
        return digits is > 0 and < 6 && rest[digits] == ' ' && rest[(digits + 1)..].StartsWith("active_anon:", StringComparison.Ordinal);
    }

    /// <summary>Whether a line lists free blocks.</summary>
    /// <param name="t">The line.</param>
    /// <param name="named">Whether it begins with a zone's name; otherwise it is the rest of a broken line.</param>
    public static bool IsFreeList(ReadOnlySpan<char> t, out bool named)
    {
        named = false;
        int item = FirstItem(t);
        if (item < 0)
        {
            if (IsListHead(t))
            {
                named = true;
                return true;
            }

            int empty = t.IndexOf(": empty");
            named = empty > 0 && empty + 7 >= t.TrimEnd(' ').Length && ZoneName(t[..empty], out _, out _);
            return named;
        }

        ReadOnlySpan<char> before = t[..item].TrimEnd(" \t\u00a0");
        named = before.Length > 1 && before[^1] == ':' && ZoneName(before[..^1], out _, out _);
        return named || before.IsEmpty || before[0] == '(';
    }

    /// <summary>Whether a line is <c>Node N</c> and nothing else.</summary>
    public static bool IsNodeOnly(ReadOnlySpan<char> t)
    {
        t = t.Trim(" \t");
        return t.Length is > 5 and < 10 && t.StartsWith("Node ", StringComparison.Ordinal) && t[5..].IndexOfAnyExceptInRange('0', '9') < 0;
    }

    /// <summary>Whether a line is a zone's name and a colon, the beginning of a list that syslog took apart.</summary>
    private static bool IsListHead(ReadOnlySpan<char> t)
    {
        t = t.TrimEnd(' ');
        return t.Length is > 3 and < 24 && t[^1] == ':' && ZoneName(t[..^1], out _, out string name) && name is "DMA" or "DMA32" or "Normal" or "HighMem" or "Movable" or "Device";
    }

    /// <summary>Reads a zone's line.</summary>
    public static bool TryZone(ReadOnlySpan<char> t, out int node, out string name)
    {
        node = 0;
        name = "";
        int free = FreeAt(t);
        return free > 0 && ZoneName(t[..free], out node, out name);
    }

    /// <summary>Reads the figures of a zone's or node's line, in KiB.</summary>
    /// <returns>What the line answers to <c>all_unreclaimable?</c>.</returns>
    public static bool? ReadFigures(ReadOnlySpan<char> t, IDictionary<string, long> into)
    {
        Figures figures = new(t);
        while (figures.Next() && into.Count < 128)
        {
            into.TryAdd(figures.Name.ToString(), figures.Value);
        }

        int question = t.IndexOf("all_unreclaimable?");
        return question < 0 ? null : t[(question + 18)..].TrimStart(' ').StartsWith("yes", StringComparison.Ordinal);
    }

    /// <summary>Reads the numbers behind <c>lowmem_reserve[]:</c> or <c>protections[]:</c>.</summary>
    public static long[]? Reserves(ReadOnlySpan<char> t)
    {
        int at = t.IndexOf("[]:");
        if (at < 0)
        {
            return null;
        }

        List<long> numbers = [];
        ReadOnlySpan<char> rest = t[(at + 3)..];
        foreach (Range range in rest.Split(' '))
        {
            ReadOnlySpan<char> word = rest[range].Trim();
            if (word.IsEmpty)
            {
                continue;
            }

            if (numbers.Count == MaxReserves || !long.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out long number))
            {
                break;
            }

            numbers.Add(number);
        }

        return [.. numbers];
    }

    /// <summary>Reads a line of free blocks.</summary>
    public static bool TryFreeList(ReadOnlySpan<char> t, out int node, out string name, out List<FreeBlocks> blocks, out long? totalKiB)
    {
        blocks = [];
        totalKiB = null;
        int item = FirstItem(t);
        int colon = t.IndexOf(": empty");
        ReadOnlySpan<char> before = t[..(item >= 0 ? item : colon >= 0 ? colon + 1 : t.Length)].TrimEnd(" \t\u00a0");
        node = 0;
        name = "";
        if (before.IsEmpty || before[^1] != ':' || !ZoneName(before[..^1], out node, out name))
        {
            return false;
        }

        if (item < 0)
        {
            // "empty" is a whole list; a name alone is one that was cut off.
            totalKiB = colon >= 0 ? 0 : null;
            return true;
        }

        ReadOnlySpan<char> rest = t[item..];
        long first = 0;
        while (blocks.Count < MaxOrders && Item(rest, out long count, out long size, out int length))
        {
            rest = rest[length..].TrimStart(" \t");
            string? types = null;
            if (!rest.IsEmpty && rest[0] == '(')
            {
                int close = rest.IndexOf(')');
                types = close is > 0 and < 12 ? rest[1..close].ToString() : null;
                rest = close > 0 ? rest[(close + 1)..].TrimStart(" \t") : rest[1..];
            }

            first = first == 0 ? size : first;
            if (first <= 0 || size < first)
            {
                break;
            }

            int order = System.Numerics.BitOperations.Log2((ulong)(size / first));
            if (order >= MaxOrders || (blocks.Count != 0 && blocks[^1].Order >= order))
            {
                break;
            }

            blocks.Add(new FreeBlocks(order, size, count, types));
        }

        int equals = rest.IndexOf('=');
        if (equals >= 0)
        {
            ReadOnlySpan<char> sum = rest[(equals + 1)..].TrimStart(" \t");
            int digits = sum.IndexOfAnyExceptInRange('0', '9');
            digits = digits < 0 ? sum.Length : digits;

            // Without its unit the number may be cut as well, unless it is the one that is due.
            totalKiB = digits > 0 && long.TryParse(sum[..digits], NumberStyles.None, CultureInfo.InvariantCulture, out long value)
                && (sum[digits..].StartsWith("kB", StringComparison.OrdinalIgnoreCase) || value == blocks.Sum(static b => b.Count * b.KiB)) ? value : null;
        }

        return true;
    }

    /// <summary>Where <c>free:</c> of a zone's line begins: behind a blank and a word, before a number; -1 for nowhere.</summary>
    private static int FreeAt(ReadOnlySpan<char> t)
    {
        int at = t.IndexOf(" free:");
        return at > 0 && at + 6 < t.Length && char.IsAsciiDigit(t[at + 6]) && char.IsAsciiLetterOrDigit(t[at - 1]) ? at : -1;
    }

    /// <summary>Reads the name at the end of a text: a word, perhaps behind <c>Node N</c>.</summary>
    private static bool ZoneName(ReadOnlySpan<char> text, out int node, out string name)
    {
        node = 0;
        name = "";
        text = text.TrimEnd(' ');
        int start = text.Length;
        while (start > 0 && (char.IsAsciiLetterOrDigit(text[start - 1]) || text[start - 1] == '_'))
        {
            start--;
        }

        ReadOnlySpan<char> word = text[start..];
        if (word.Length is < 3 or > 16 || !char.IsAsciiLetterUpper(word[0]))
        {
            return false;
        }

        ReadOnlySpan<char> before = text[..start].TrimEnd(" ,");
        int digits = before.Length;
        while (digits > 0 && char.IsAsciiDigit(before[digits - 1]))
        {
            digits--;
        }

        if (digits < before.Length && before[..digits].TrimEnd(' ').EndsWith("Node", StringComparison.Ordinal))
        {
            _ = int.TryParse(before[digits..], NumberStyles.None, CultureInfo.InvariantCulture, out node);
        }
        else if (word.SequenceEqual("Node"))
        {
            return false;
        }

        name = word.ToString();
        return true;
    }

    private static int FirstItem(ReadOnlySpan<char> t)
    {
        int from = 0;
        while (from < t.Length)
        {
            int at = t[from..].IndexOf("kB");
            if (at < 0)
            {
                return -1;
            }

            int start = from + at;
            while (start > 0 && !char.IsWhiteSpace(t[start - 1]))
            {
                start--;
            }

            if (Item(t[start..], out _, out _, out _))
            {
                return start;
            }

            from += at + 2;
        }

        return -1;
    }

    /// <summary><c>12*64kB</c>; mark-up languages make <c>12_64kB</c> of it.</summary>
    private static bool Item(ReadOnlySpan<char> text, out long count, out long size, out int length)
    {
        count = 0;
        size = 0;
        length = 0;
        int digits = text.IndexOfAnyExceptInRange('0', '9');
        if (digits is < 1 or > 12 || digits + 1 >= text.Length)
        {
            return false;
        }

        int at = digits + (text[digits] == '\\' ? 1 : 0);
        if (at >= text.Length || text[at] is not ('*' or '_' or 'x'))
        {
            return false;
        }

        ReadOnlySpan<char> second = text[(at + 1)..];
        int more = second.IndexOfAnyExceptInRange('0', '9');
        if (more is < 1 or > 10 || !second[more..].StartsWith("kB", StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        length = at + 1 + more + 2;
        return long.TryParse(text[..digits], NumberStyles.None, CultureInfo.InvariantCulture, out count)
            && long.TryParse(second[..more], NumberStyles.None, CultureInfo.InvariantCulture, out size) && size > 0;
    }
}
