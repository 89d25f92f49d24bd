namespace MemSim.Reports.Reading;

/// <summary>Puts lines together again that mailers and consoles broke.</summary>
internal sealed class LineJoiner
{
    private const int MaxLength = 16_384;

    private static readonly System.Buffers.SearchValues<char> Digits = System.Buffers.SearchValues.Create("0123456789 \t");

    private LogLine _line;
    private LineKind _kind;
    private long _last;
    private bool _some;

    /// <summary>Takes the next line; gives the one before when that is complete.</summary>
    public bool Add(in LogLine line, out LogicalLine complete)
    {
        LineKind kind = LineClassifier.Of(line.Text);
        if (_some && CanJoin(line, kind))
        {
            string text = Join(_line.Text, line.Text, _line.EndsWithBlank);
            _line = _line with { Text = text, EndsWithBlank = line.EndsWithBlank };
            _last = line.Number;
            _kind = _kind == LineKind.Other ? LineClassifier.Of(text) : _kind;
            complete = default;
            return false;
        }

        bool had = Flush(out complete);
        (_line, _kind, _last, _some) = (line, kind, line.Number, true);
        return had;
    }

    /// <summary>Gives the line that waits for its rest.</summary>
    public bool Flush(out LogicalLine complete)
    {
        complete = _some ? new LogicalLine(_kind, _line.Text, _line.Number, _last, _line.Caller) : default;
        bool had = _some;
        _some = false;
        return had;
    }

    private bool CanJoin(in LogLine next, LineKind kind)
    {
        if (_line.Text.Length + next.Text.Length > MaxLength)
        {
            return false;
        }

        // A stamp begins a message of its own.
        if (next.HasStamp && (_line.HasStamp || kind != LineKind.Other))
        {
            return false;
        }

        return kind switch
        {
            LineKind.FigureTail => _kind is LineKind.ZoneLine or LineKind.NodeLine or LineKind.Killed or LineKind.Reaper or LineKind.CgroupStats,
            LineKind.ListTail => _kind == LineKind.FreeList && !HasSum(_line.Text),
            LineKind.Other or LineKind.CgroupStatRow or LineKind.SlabRow => IsOpen(next.Text),
            LineKind.AllocationFailureHead or LineKind.OomHead or LineKind.CpuLine => false,
            _ => false,
        };
    }

    /// <summary>Whether the line at hand lacks something that the next one may be.</summary>
    private bool IsOpen(string next)
    {
        string text = _line.Text;
        return _kind switch
        {
            LineKind.AllocationFailureHead => IsUnbalanced(text) || text.EndsWith(',') || !Has(text, "mode:") || (Has(text, "cpuset=") && !Has(text, "mems_allowed=") && Has(next, "mems_allowed=")) || (Has(text, "mode:0x") && next.StartsWith('(')),
            LineKind.OomHead => IsUnbalanced(text) || text.EndsWith(',') || !Has(text, "order=") || !(Has(text, "oom_score_adj=") || Has(text, "oomkilladj=") || Has(text, "oom_adj=")) && (Has(next, "adj=") || next.StartsWith('_')),
            LineKind.CpuLine => !text.Contains('#') && (next.StartsWith('#') || (next.Length != 0 && char.IsAsciiDigit(next[0])) || !Has(text, "ainted")),
            LineKind.ZoneLine or LineKind.NodeLine => next.Contains(':') || Has(next, "unreclaimable") || next.EndsWith("kB", StringComparison.Ordinal) || next is "no" or "yes" || !EndsComplete(text),
            LineKind.FreeList => !HasSum(text),
            LineKind.Reserve => IsNumbers(next),
            LineKind.OomKill => !Has(text, ",uid="),
            LineKind.Killed => text.EndsWith(',') || EndsWithWord(text, "oom") || EndsWithWord(text, "or") || EndsWithWord(text, "sacrifice") || next.StartsWith('_') || next is "child" or "sacrifice child" || IsUnbalanced(text),
            LineKind.Reaper => text.EndsWith(',') || EndsWithWord(text, "now"),
            LineKind.TaskRow => text.Length != 0 && text[(text.LastIndexOf(' ') + 1)..].AsSpan().IndexOfAnyExceptInRange('0', '9') < 0,
            LineKind.TaskHead => Has(text, "total_vm") && !EndsWithWord(text, "name"),
            LineKind.SlubHead => IsUnbalanced(text) || text.EndsWith(',') || !(Has(text, "gfp=") || Has(text, "gfp:")),
            LineKind.HeadDetail => text.EndsWith(',') || (Has(text, "cache:") && !Has(text, "min order")),
            LineKind.VmallocHead => IsUnbalanced(text) || text.EndsWith(',') || !Has(text, "mode:") || (Has(text, "cpuset=") && !Has(text, "mems_allowed=") && Has(next, "mems_allowed=")),
            LineKind.HugePages => !Has(text, "hugepages_size="),
            LineKind.Totals => !EndsComplete(text) && !next.Contains(' '),
            LineKind.Other => CompletesHead(text, next),
            _ => false,
        };
    }

    /// <summary>A head that was broken between its telling words.</summary>
    private static bool CompletesHead(string text, string next) =>
        (text.EndsWith(" page", StringComparison.Ordinal) && next.StartsWith("allocation failure", StringComparison.Ordinal))
        || (text.EndsWith("page allocation", StringComparison.Ordinal) && next.StartsWith("failure", StringComparison.Ordinal))
        || (text.EndsWith("page allocation failure:", StringComparison.Ordinal) || text.EndsWith("page allocation failure.", StringComparison.Ordinal)) && next.StartsWith("order", StringComparison.Ordinal)
        || (text.EndsWith(" invoked", StringComparison.Ordinal) && next.StartsWith("oom-killer", StringComparison.Ordinal));

    /// <summary>Two parts as one line: with a blank where the break was one.</summary>
    private static string Join(string first, string second, bool blank)
    {
        ReadOnlySpan<char> rest = second.AsSpan().TrimStart(" \t");
        return blank || !BreaksWord(first, rest) ? string.Concat(first, " ", rest) : string.Concat(first, rest);
    }

    /// <summary>Whether a break went through a word.</summary>
    private static bool BreaksWord(string first, ReadOnlySpan<char> rest)
    {
        if (rest.IsEmpty || first.Length == 0)
        {
            return false;
        }

        char end = first[^1];
        char start = rest[0];
        if (start is ')' or '|' or ',' or '_' or '*' or ':' || end is '|' or '(' or '*' or '_')
        {
            return true;
        }

        if (end is ':' or '=')
        {
            return char.IsAsciiDigit(start) || start is '(' || (end == '=' && first.Length > 1 && first[^2] != ' ');
        }

        if (IsUnbalanced(first))
        {
            return true;
        }

        // A figure or block that only both halves make.
        ReadOnlySpan<char> left = first.AsSpan(first.LastIndexOf(' ') + 1);
        int blank = rest.IndexOf(' ');
        ReadOnlySpan<char> right = blank < 0 ? rest : rest[..blank];
        return !IsWhole(left) && IsWhole(string.Concat(left, right));
    }

    /// <summary>Whether a word is a whole figure (<c>name:12kB</c>, <c>name:12</c>), a block (<c>3*64kB</c>), letters in parentheses or a number.</summary>
    private static bool IsWhole(ReadOnlySpan<char> word)
    {
        word = word.TrimEnd(',');
        int colon = word.IndexOfAny(':', '*');
        if (colon > 0 && colon + 1 < word.Length)
        {
            ReadOnlySpan<char> value = word[(colon + 1)..];
            return word[colon] == '*' ? value.EndsWith("kB", StringComparison.Ordinal) : value.EndsWith("kB", StringComparison.OrdinalIgnoreCase) || value.IndexOfAnyExceptInRange('0', '9') < 0;
        }

        return false;
    }

    private static bool EndsComplete(string text) => IsWhole(text.AsSpan(text.LastIndexOf(' ') + 1)) || EndsWithWord(text, "no") || EndsWithWord(text, "yes");

    private static bool HasSum(string text)
    {
        int equals = text.LastIndexOf('=');
        return equals >= 0 && text.AsSpan(equals + 1).Trim() is { IsEmpty: false } sum && sum.EndsWith("kB", StringComparison.OrdinalIgnoreCase) || text.EndsWith(": empty", StringComparison.Ordinal);
    }

    private static bool IsNumbers(string text) => text.Length != 0 && text.AsSpan().IndexOfAnyExcept(Digits) < 0;

    private static bool IsUnbalanced(string text) => text.LastIndexOf('(') > text.LastIndexOf(')');

    private static bool EndsWithWord(string text, string word) => text.EndsWith(word, StringComparison.Ordinal) && (text.Length == word.Length || text[^(word.Length + 1)] == ' ');

    private static bool Has(string text, string word) => text.Contains(word, StringComparison.Ordinal);
}
