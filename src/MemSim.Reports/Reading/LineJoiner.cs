namespace MemSim.Reports.Reading;

/// <summary>Puts lines together again that mailers and consoles broke.</summary>
internal sealed class LineJoiner
{
    private const int MaxLength = 16_384;

    private static readonly System.Buffers.SearchValues<char> Digits = System.Buffers.SearchValues.Create("0123456789 \t");

    /// <summary>Words that only both halves make, beside figures.</summary>
    private static readonly string[] Words = ["nodemask=", "cpuset=", "mems_allowed=", "order=", "order:", "mode:", "gfp_mask=", "oom_score_adj=", "oomkilladj=", "oom_adj=", "all_unreclaimable?", "pages_scanned:", "oom_score_adj:", "hugepages_total=", "hugepages_free=", "hugepages_surp=", "hugepages_size="];

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
            string text = Join(_kind, _line.Text, line.Text, _line.EndsWithBlank);
            _line = _line with { Text = text, EndsWithBlank = line.EndsWithBlank };
            _last = line.Number;
            _kind = _kind is LineKind.Other or LineKind.NodeOnly ? LineClassifier.Of(text) : _kind;
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
            return IsPiece(next.Text, kind);
        }

        if (_kind == LineKind.NodeOnly)
        {
            return kind is LineKind.ZoneLine or LineKind.FreeList;
        }

        return kind switch
        {
            LineKind.FigureTail => _kind is LineKind.ZoneLine or LineKind.NodeLine or LineKind.Killed or LineKind.Reaper or LineKind.CgroupStats,
            LineKind.ListTail => _kind == LineKind.FreeList && !HasSum(_line.Text),
            LineKind.Other or LineKind.CgroupStatRow or LineKind.SlabRow => IsOpen(next.Text),
            LineKind.Reserve => _kind == LineKind.ZoneLine && next.Text.IndexOf("kB", StringComparison.Ordinal) is >= 0 and int unit && unit < next.Text.IndexOf("lowmem_reserve", StringComparison.Ordinal),
            LineKind.HugePages => _kind == LineKind.HugePages && IsOpen(next.Text) && !Has(next.Text, "hugepages_total="),
            LineKind.CpusetLine => _kind is LineKind.AllocationFailureHead or LineKind.StallHead or LineKind.VmallocHead or LineKind.OomHead && IsOpen(next.Text),
            _ => false,
        };
    }

    /// <summary>Whether a line with a stamp of its own is a piece all the same: for a while syslog took apart what kernels wrote piece by piece.</summary>
    private bool IsPiece(string next, LineKind kind) => _kind switch
    {
        LineKind.NodeOnly => kind is LineKind.ZoneLine or LineKind.FreeList,
        LineKind.Reserve => IsNumbers(next),
        LineKind.FreeList => !HasSum(_line.Text) && (kind == LineKind.ListTail || next.StartsWith('=') || (next.Length is > 2 and < 12 && next[0] == '(' && next[^1] == ')')),
        _ => false,
    };

    /// <summary>Whether the line at hand lacks something that the next one may be.</summary>
    private bool IsOpen(string next)
    {
        string text = _line.Text;
        return _kind switch
        {
            LineKind.AllocationFailureHead or LineKind.StallHead => IsUnbalanced(text) || text.EndsWith(',') || !Has(text, "mode:") || (Has(text, "cpuset=") && !Has(text, "mems_allowed=") && Has(next, "mems_allowed=")) || (Has(text, "mode:0x") && next.StartsWith('(')),
            LineKind.OomHead => IsUnbalanced(text) || text.EndsWith(',') || !Has(text, "order=") || !(Has(text, "oom_score_adj=") || Has(text, "oomkilladj=") || Has(text, "oom_adj=")) && (Has(next, "adj=") || next.StartsWith('_')),
            LineKind.CpuLine => !text.Contains('#') && (next.Contains('#') || (next.Length != 0 && char.IsAsciiDigit(next[0])) || !Has(text, "ainted")),
            LineKind.ZoneLine or LineKind.NodeLine => next.Contains(':') || Has(next, "unreclaimable") || next.EndsWith("kB", StringComparison.Ordinal) || next is "no" or "yes" || !EndsComplete(text),
            LineKind.FreeList => !HasSum(text),
            LineKind.Reserve => IsNumbers(next),
            LineKind.OomKill => !Has(text, "uid="),
            LineKind.Killed => text.EndsWith(',') || EndsWithWord(text, "oom") || EndsWithWord(text, "or") || EndsWithWord(text, "sacrifice") || next.StartsWith('_') || next is "child" or "sacrifice child" || IsUnbalanced(text)
                || (Has(text, "total-vm:") && !Has(text, "oom_score_adj:") && (Has(next, "rss:") || Has(next, "pgtables:") || Has(next, "score_adj:"))),
            LineKind.Reaper => text.EndsWith(',') || EndsWithWord(text, "now"),
            LineKind.TaskRow => text.Length != 0 && text[(text.LastIndexOf(' ') + 1)..].AsSpan().IndexOfAnyExceptInRange('0', '9') < 0,
            LineKind.TaskHead => Has(text, "total_vm") && !EndsWithWord(text, "name"),
            LineKind.SlubHead => IsUnbalanced(text) || text.EndsWith(',') || !(Has(text, "gfp=") || Has(text, "gfp:")),
            LineKind.HeadDetail => text.EndsWith(',') || (Has(text, "cache:") && !Has(text, "min order")),
            LineKind.VmallocHead => IsUnbalanced(text) || text.EndsWith(',') || !Has(text, "mode:") || (Has(text, "cpuset=") && !Has(text, "mems_allowed=") && Has(next, "mems_allowed=")),
            LineKind.Closing => IsUnbalanced(text),
            LineKind.HugePages => !Has(text, "hugepages_size=") || text.EndsWith('='),
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
    private static string Join(LineKind kind, string first, string second, bool blank)
    {
        ReadOnlySpan<char> rest = second.AsSpan().TrimStart(" \t");
        return blank || !BreaksWord(kind, first, rest) ? string.Concat(first, " ", rest) : string.Concat(first, rest);
    }

    /// <summary>Whether a break went through a word.</summary>
    private static bool BreaksWord(LineKind kind, string first, ReadOnlySpan<char> rest)
    {
        if (rest.IsEmpty || first.Length == 0)
        {
            return false;
        }

        if (kind == LineKind.OomKill)
        {
            return true;
        }

        char end = first[^1];
        char start = rest[0];
        if (start is ')' or '|' or ',' or '_' or '*' or ':' || end is '|' or '(' or '*' or '_')
        {
            return true;
        }

        if (end is ':' or '=')
        {
            return (char.IsAsciiDigit(start) && !(kind == LineKind.FreeList && end == ':')) || start is '(' || (end == '=' && first.Length > 1 && first[^2] != ' ');
        }

        if (IsUnbalanced(first))
        {
            return true;
        }

        // A figure or block that only both halves make.
        ReadOnlySpan<char> left = first.AsSpan(first.LastIndexOf(' ') + 1);
        int blank = rest.IndexOf(' ');
        ReadOnlySpan<char> right = blank < 0 ? rest : rest[..blank];
        bool units = kind is LineKind.ZoneLine or LineKind.NodeLine or LineKind.FreeList or LineKind.Killed;
        string whole = string.Concat(left, right);
        if (!IsWhole(left, units) && ((CanContinue(left, right) && IsWhole(whole, units)) || (IsDigits(left) && right.EndsWith("kB", StringComparison.Ordinal) && IsDigits(right[..^2]))))
        {
            return true;
        }

        left = left[(left.LastIndexOf(',') + 1)..];
        foreach (string word in Words)
        {
            if (left.Length != 0 && left.Length < word.Length && word.AsSpan().StartsWith(left, StringComparison.Ordinal) && string.Concat(left, right).StartsWith(word, StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether a word can be the first half of one that the next begins: the front of a name, or a name with the front of its number.</summary>
    private static bool CanContinue(ReadOnlySpan<char> left, ReadOnlySpan<char> right)
    {
        int colon = left.IndexOf(':');
        if (colon >= 0)
        {
            return right.Length != 0 && (char.IsAsciiDigit(right[0]) || right[0] is 'k' or 'B');
        }

        return left.Length != 0 && left[^1] is not (')' or ',' or '.') && left.IndexOf('/') < 0;
    }

    private static bool IsDigits(ReadOnlySpan<char> text) => text.Length != 0 && text.IndexOfAnyExceptInRange('0', '9') < 0;

    /// <summary>Whether a word is a whole figure (<c>name:12kB</c>, <c>name:12</c>), a block (<c>3*64kB</c>), letters in parentheses or a number.</summary>
    /// <param name="word">The word.</param>
    /// <param name="units">Whether figures have a unit.</param>
    private static bool IsWhole(ReadOnlySpan<char> word, bool units)
    {
        word = word.TrimEnd(',');
        int colon = word.IndexOfAny(':', '*');
        if (colon > 0 && colon + 1 < word.Length)
        {
            ReadOnlySpan<char> value = word[(colon + 1)..];
            return word[colon] == '*' ? value.EndsWith("kB", StringComparison.Ordinal) : value.EndsWith("kB", StringComparison.OrdinalIgnoreCase) || (!units && IsDigits(value));
        }

        return false;
    }

    private static bool EndsComplete(string text) => IsWhole(text.AsSpan(text.LastIndexOf(' ') + 1), units: false) || EndsWithWord(text, "no") || EndsWithWord(text, "yes");

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
