using MemSim.Reports.Reading;

namespace MemSim.Reports;

/// <summary>Reads kernel logs and gives the reports about memory that are in them, one at a time, in bounded memory.</summary>
/// <remarks>
/// Whatever stands before the kernel's text (time stamps, syslog, journald, JSON of containers, marks of quoting mailers) is taken away, broken lines are put together,
/// reports of several CPUs are taken apart. Lines that are not understood are kept by number.
/// </remarks>
public sealed class KernelLog
{
    /// <summary>Lines without anything known after which the reader runs on to the next interesting one.</summary>
    private const int MaxIdle = 32;

    private const int LookAhead = 16;

    private readonly LineSource _source;
    private readonly LineDecoder _decoder = new();
    private readonly LineJoiner _joiner = new();
    private readonly UnknownLineList _unknown = new();
    private readonly ReportAssembler _assembler;
    private readonly LineOrder _order = new();
    private readonly Queue<(long Number, string Text)> _ahead = new();
    private bool _skipping = true;

    /// <summary>Begins to read a log.</summary>
    /// <param name="reader">The log; it stays open.</param>
    public KernelLog(TextReader reader)
    {
        ArgumentNullException.ThrowIfNull(reader);
        _source = new LineSource(reader);
        _assembler = new ReportAssembler(_unknown);
    }

    /// <summary>Numbers of lines that were read and not understood, ascending; at most 10,000: those inside reports, and in a log of up to 5000 lines those near them. Lines far from any report are not among them.</summary>
    public IReadOnlyList<long> UnknownLines => _unknown.Numbers(_source.Number);

    /// <summary>How many more there were.</summary>
    public long MoreUnknownLines => _unknown.Beyond(_source.Number);

    /// <summary>Lines gone through so far.</summary>
    public long Lines => _source.Number;

    /// <summary>Characters gone through so far, for a progress bar.</summary>
    public long Position => _source.Position;

    /// <summary>Gives the reports, in the order in which they begin. May be called once.</summary>
    /// <param name="progress">Hears how many characters were gone through, now and then.</param>
    public IEnumerable<KernelReport> Reports(IProgress<long>? progress = null)
    {
        long told = 0;
        while (true)
        {
            if (_source.Position - told > 1 << 20)
            {
                told = _source.Position;
                progress?.Report(told);
            }

            bool more = Step();
            while (_assembler.Next() is { } report)
            {
                if (_order.IsReversed)
                {
                    report.Notes.Add(LineOrder.Reversed);
                }

                yield return report;
            }

            if (!more)
            {
                progress?.Report(_source.Position);
                yield break;
            }
        }
    }

    /// <summary>Reads every report of a text, in the order in which they begin.</summary>
    /// <param name="text">The text.</param>
    public static IReadOnlyList<KernelReport> Read(string text)
    {
        using StringReader reader = new(text);
        return [.. new KernelLog(reader).Reports()];
    }

    /// <summary>Goes one line on; false at the end.</summary>
    private bool Step()
    {
        if (_skipping && _ahead.Count == 0)
        {
            Drain(flush: true);
            if (!_source.SkipToInteresting())
            {
                return Finish();
            }

            _skipping = false;
        }

        while (_ahead.Count < LookAhead && _source.Read() is { } raw)
        {
            _decoder.LookAt(_source.Number, raw);
            _ahead.Enqueue((_source.Number, raw));
        }

        if (!_ahead.TryDequeue(out (long Number, string Text) line))
        {
            return Finish();
        }

        _decoder.Add(line.Number, line.Text);
        Drain(flush: false);
        _skipping = _assembler.Idle > MaxIdle;
        if (_skipping)
        {
            // What was read ahead is uninteresting only if nothing in it is known.
            _skipping = _ahead.Count == 0 || !_ahead.Any(l => LineClassifier.Of(Prefixes.Strip(l.Number, l.Text).Text) is not (LineKind.Other or LineKind.Trace or LineKind.Blank));
            if (_skipping)
            {
                _ahead.Clear();
            }
        }

        return true;
    }

    private bool Finish()
    {
        _decoder.Finish();
        Drain(flush: true);
        _assembler.Finish();
        return false;
    }

    private void Drain(bool flush)
    {
        while (_decoder.Next(out long number, out string text))
        {
            if (_joiner.Add(Prefixes.Strip(number, text), out LogicalLine complete))
            {
                _order.Add(complete.Kind);
                _assembler.Add(complete);
            }
        }

        if (flush && _joiner.Flush(out LogicalLine last))
        {
            _assembler.Add(last);
        }
    }
}
