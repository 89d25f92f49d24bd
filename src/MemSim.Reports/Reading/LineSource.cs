using System.Buffers;

namespace MemSim.Reports.Reading;

/// <summary>Reads a log line by line, and runs over what has nothing to do with memory without making lines of it.</summary>
internal sealed class LineSource(TextReader reader)
{
    /// <summary>Characters read at a time.</summary>
    private const int BlockLength = 1 << 18;

    /// <summary>Longest line kept; the rest of a longer one is dropped.</summary>
    private const int MaxLineLength = 1 << 16;

    /// <summary>Lines kept before one that is interesting: its beginning may be broken.</summary>
    private const int Before = 4;

    private static readonly SearchValues<string> Interesting = SearchValues.Create(
        [
            "allocation f", "allocation\u00a0f", "allocation stalls", "oom-", "gfp_mask", "Mem-Info", "Mem-info", "kB min:", "*4kB", "*16kB", "*64kB", "_4kB", "lowmem_reserve", "active_anon:", "Active:", "how Memory", "vmalloc error",
            "Allocation of length", "allocate memory on node", "allocate memory on CPU", "req-size", "illed process", "ill process", "ut of memory", "ut of Memory", "emory cgroup ", "callbacks suppressed", "per-cpu:",
            "pages RAM", "pages of RAM", "total_vm", "vmap allocation", "Linux version ", "Manual OOM",
        ],
        StringComparison.Ordinal);

    private char[] _block = new char[BlockLength];
    private int _start;
    private int _end;
    private bool _atEnd;

    /// <summary>Number of the line read last, from 1; 0 before the first.</summary>
    public long Number { get; private set; }

    /// <summary>Characters gone through.</summary>
    public long Position { get; private set; }

    /// <summary>Lines run over.</summary>
    public long Skipped { get; private set; }

    /// <summary>The next line; null at the end.</summary>
    public string? Read()
    {
        while (true)
        {
            // A file system that lost the end of a log in a crash leaves zeros in its place, and the next boot writes on behind them.
            ReadOnlySpan<char> rest = _block.AsSpan(_start, _end - _start);
            int zeros = rest.IndexOfAnyExcept('\0');
            if (zeros != 0)
            {
                Advance(zeros < 0 ? rest.Length : zeros);
                rest = _block.AsSpan(_start, _end - _start);
            }

            int newline = rest.IndexOf('\n');
            if (newline >= 0 || (_atEnd && !rest.IsEmpty))
            {
                int length = newline < 0 ? rest.Length : newline;
                string line = rest[..Math.Min(length, MaxLineLength)].ToString();
                Advance(newline < 0 ? length : newline + 1);
                Number++;
                return line;
            }

            if (_atEnd)
            {
                return null;
            }

            if (rest.Length >= BlockLength)
            {
                // One line that is longer than a block: its beginning is enough.
                string line = rest[..MaxLineLength].ToString();
                DropLine();
                Number++;
                return line;
            }

            Fill();
        }
    }

    /// <summary>Runs to shortly before the next line that could belong to a report.</summary>
    /// <returns>Whether there is one.</returns>
    public bool SkipToInteresting()
    {
        while (true)
        {
            ReadOnlySpan<char> rest = _block.AsSpan(_start, _end - _start);
            int found = rest.IndexOfAny(Interesting);
            if (found >= 0)
            {
                SkipTo(LinesBefore(rest, found, Before));
                return true;
            }

            if (_atEnd)
            {
                SkipTo(rest.Length);
                return false;
            }

            // The last lines stay: they may be the beginning of what comes.
            int keep = LinesBefore(rest, rest.Length, Before + 1);
            SkipTo(keep == 0 && rest.Length >= BlockLength ? rest.Length - MaxLineLength : keep);
            Fill();
        }
    }

    private static int LinesBefore(ReadOnlySpan<char> text, int at, int lines)
    {
        for (int i = 0; i <= lines; i++)
        {
            int newline = text[..at].LastIndexOf('\n');
            if (newline < 0)
            {
                return 0;
            }

            at = newline;
        }

        return at + 1;
    }

    private void SkipTo(int length)
    {
        int lines = _block.AsSpan(_start, length).Count('\n');
        Number += lines;
        Skipped += lines;
        Advance(length);
    }

    private void Advance(int length)
    {
        _start += length;
        Position += length;
    }

    private void DropLine()
    {
        while (true)
        {
            int newline = _block.AsSpan(_start, _end - _start).IndexOf('\n');
            if (newline >= 0)
            {
                Advance(newline + 1);
                return;
            }

            Advance(_end - _start);
            if (_atEnd)
            {
                return;
            }

            Fill();
        }
    }

    private void Fill()
    {
        int rest = _end - _start;
        if (_start != 0)
        {
            Array.Copy(_block, _start, _block, 0, rest);
        }

        if (rest + (BlockLength / 2) > _block.Length)
        {
            Array.Resize(ref _block, _block.Length * 2);
        }

        _start = 0;
        _end = rest;
        int read = reader.Read(_block, _end, _block.Length - _end);
        _atEnd = read <= 0;
        _end += Math.Max(0, read);
    }
}
