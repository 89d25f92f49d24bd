using System.Buffers;
using MemSim.Recordings.Import;

namespace MemSim.Recordings;

/// <summary>
/// Reads recorded events one by one from ftrace's <c>trace</c> file (also of the <c>function_graph</c> tracer), <c>trace-cmd report</c> (also <c>-l</c>) or
/// <c>perf script</c> (also <c>--ns</c>, and of recordings with call chains).
/// </summary>
/// <remarks>
/// The format is recognised line by line. Comments, empty lines, stack traces and notes about lost events are no events; what they tell is in the properties.
/// A line that a stray newline broke in two is put together again (<see cref="RepairedLines"/>). Reading allocates only for names not seen before.
/// </remarks>
public sealed class TraceReader : IDisposable
{
    private const int MaxLineBytes = 1 << 20;
    private const int MaxBrokenLineBytes = 4096;

    private static readonly SearchValues<char> FlagCharacters = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    private readonly Utf8LineReader _lines;
    private readonly Utf8Pool<string> _names = new(text => text);
    private readonly Utf8Pool<Gfp?> _gfp;
    private readonly SortedSet<string> _unknownFlags = new(StringComparer.Ordinal);
    private readonly Utf8Pool<(TraceEventKind Kind, string Name)> _events = new(name => (KindOf(name), name));
    private readonly int _maxUnreadableLines;

    private readonly byte[] _broken = new byte[MaxBrokenLineBytes];

    private readonly TracePrefixes _prefixes = new();
    private bool _afterUserText;

    /// <summary>Opens a recording, plain or packed.</summary>
    /// <param name="path">The file.</param>
    /// <param name="maxUnreadableLines">How many lines that are no events may be skipped before one is an error.</param>
    /// <exception cref="InputFileException">The file cannot be opened.</exception>
    public TraceReader(string path, int maxUnreadableLines = 0)
        : this(ReadAheadStream.Open(path), path, maxUnreadableLines)
    {
    }

    /// <summary>Reads a recording from a stream of unpacked bytes, which the reader disposes of.</summary>
    /// <param name="stream">The lines.</param>
    /// <param name="path">The name for messages.</param>
    /// <param name="maxUnreadableLines">How many lines that are no events may be skipped before one is an error.</param>
    public TraceReader(Stream stream, string path, int maxUnreadableLines = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxUnreadableLines);
        _lines = new Utf8LineReader(stream, path, MaxLineBytes);
        _maxUnreadableLines = maxUnreadableLines;
        _gfp = new Utf8Pool<Gfp?>(ReadFlags);
    }

    /// <summary>Events read so far.</summary>
    public long EventCount { get; private set; }

    /// <summary>Events that the header says are in the file, summed over several headers; -1 where it has none.</summary>
    public long EntriesInBuffer { get; private set; } = -1;

    /// <summary>Events that the header says were recorded, the overwritten ones included; -1 where it has none.</summary>
    public long EntriesWritten { get; private set; } = -1;

    /// <summary>CPUs that the header names; 0 where it has none.</summary>
    public int CpuCount { get; private set; }

    /// <summary>Events that notes in the file say were lost so far; a note without a number counts as one.</summary>
    public long LostEvents { get; private set; }

    /// <summary>Events whose lines tell no CPU (perf script -F without cpu), taken as of CPU 0.</summary>
    public long EventsWithoutCpu { get; private set; }

    /// <summary>Lines broken in two that were put together.</summary>
    public int RepairedLines { get; private set; }

    /// <summary>Lines skipped because they are no events.</summary>
    public int UnreadableLines { get; private set; }

    /// <summary>Names of single flags (<c>__GFP_…</c>) that no kernel known here has, in order: they are read as no flag.</summary>
    public IReadOnlyCollection<string> UnknownFlags => _unknownFlags;

    /// <summary>Whether time stamps are counts (clock <c>counter</c>) instead of nanoseconds.</summary>
    public bool ClockCounts { get; private set; }

    /// <summary>Reads the next event.</summary>
    /// <param name="traceEvent">The event, or nothing at the end.</param>
    /// <returns>False at the end of the recording.</returns>
    /// <exception cref="InputFileException">A line is no event and no known note.</exception>
    public bool TryRead(out TraceEvent traceEvent)
    {
        while (_lines.TryRead(out ReadOnlySpan<byte> line))
        {
            if (line.IsEmpty || line[0] == (byte)'#')
            {
                ReadComment(line);
                continue;
            }

            if (TryParse(line, _lines.Line, out traceEvent, out string reason))
            {
                EventCount++;
                return true;
            }

            if (reason.Length == 0 || TryReadNote(line) || _afterUserText)
            {
                continue;
            }

            if (TryRepair(line, reason, out traceEvent))
            {
                EventCount++;
                return true;
            }
        }

        traceEvent = default;
        return false;
    }

    /// <inheritdoc/>
    public void Dispose() => _lines.Dispose();

    /// <summary>The flags of a text; null where it holds something that is no name of a flag. Vendors add flags of their own.</summary>
    private Gfp? ReadFlags(string text)
    {
        if (GfpText.TryParse(text, out Gfp gfp))
        {
            return gfp;
        }

        foreach (string name in text.Split('|'))
        {
            if (GfpText.TryParse(name, out Gfp known))
            {
                gfp |= known;
            }
            else if (name.StartsWith("__GFP_", StringComparison.Ordinal) && name.Length > 6 && name.AsSpan(6).IndexOfAnyExcept(FlagCharacters) < 0)
            {
                _unknownFlags.Add(name);
            }
            else
            {
                return null;
            }
        }

        return gfp;
    }

    private static TraceEventKind KindOf(string name) => name switch
    {
        "mm_page_alloc" => TraceEventKind.PageAlloc,
        "mm_page_free" or "mm_page_free_direct" => TraceEventKind.PageFree,
        "mm_page_free_batched" or "mm_pagevec_free" => TraceEventKind.PageFreeBatched,
        "mm_page_alloc_zone_locked" => TraceEventKind.PageAllocZoneLocked,
        "mm_page_pcpu_drain" => TraceEventKind.PagePcpuDrain,
        "mm_page_alloc_extfrag" => TraceEventKind.PageAllocExtfrag,
        "kmalloc" or "kmalloc_node" => TraceEventKind.Kmalloc,
        "kfree" => TraceEventKind.Kfree,
        "kmem_cache_alloc" or "kmem_cache_alloc_node" => TraceEventKind.KmemCacheAlloc,
        "kmem_cache_free" => TraceEventKind.KmemCacheFree,
        _ => TraceEventKind.Other,
    };

    /// <summary>Reads an event's line. False with an empty reason: the line is to be skipped.</summary>
    private bool TryParse(ReadOnlySpan<byte> line, int number, out TraceEvent traceEvent, out string reason)
    {
        TraceLineHeader header = default;
        if (_prefixes.TryFind(line, out int prefix, out (string, int, int) known))
        {
            if (TracePageLine.TryParse(line[prefix..], out TracePageLine page) && TryParse(page, known, number, out traceEvent))
            {
                reason = "";
                return true;
            }

            if (TraceLineHeader.TryParseAfterCpu(line[prefix..], ref header))
            {
                return TryParse(header, known, number, out traceEvent, out reason);
            }
        }

        if (TraceLineHeader.TryParse(line, out header))
        {
            (string, int, int) who = (_names.Get(header.Task), header.Pid, header.Cpu);
            EventsWithoutCpu += header.NamesNoCpu ? 1 : 0;
            _prefixes.Add(line[..header.PrefixLength], who);
            return TryParse(header, who, number, out traceEvent, out reason);
        }

        traceEvent = default;
        if (!TraceGraphLine.TryParse(line, out header))
        {
            reason = "is no event";
            return false;
        }

        reason = "";
        return !header.Event.IsEmpty && TryParse(header, (_names.Get(header.Task), header.Pid, header.Cpu), number, out traceEvent, out reason);
    }

    /// <summary>Makes the event of a line that looks as most do; false where its flags are none, for which the general way has the words.</summary>
    private bool TryParse(in TracePageLine line, in (string Task, int Pid, int Cpu) who, int number, out TraceEvent traceEvent)
    {
        traceEvent = default;
        Gfp gfp = Gfp.None;
        if (!line.Gfp.IsEmpty)
        {
            if (_gfp.Get(line.Gfp) is not Gfp known)
            {
                return false;
            }

            gfp = known;
        }

        ClockCounts |= line.ClockCounts;
        _afterUserText = false;
        traceEvent = new TraceEvent
        {
            Line = number,
            Kind = line.Kind,
            EventName = line.EventName,
            Cpu = who.Cpu,
            Pid = who.Pid,
            TaskName = who.Task,
            TimestampNs = line.TimestampNs,
            Context = line.Context,
            PreemptDepth = line.PreemptDepth,
            Pfn = line.Pfn,
            Order = line.Order,
            MigrateType = line.MigrateType,
            Gfp = gfp,
            PercpuRefill = line.PercpuRefill,
            FallbackOrder = -1,
            PageblockOrder = -1,
            FallbackMigrateType = -1,
            Node = -1,
            CacheName = "",
            CallSite = "",
        };
        return true;
    }

    private bool TryParse(in TraceLineHeader header, in (string Task, int Pid, int Cpu) who, int number, out TraceEvent traceEvent, out string reason)
    {
        traceEvent = default;
        (TraceEventKind kind, string name) = _events.Get(header.Event);
        ClockCounts |= header.ClockCounts;
        if (header.Event[0] == (byte)'<')
        {
            reason = "";
            return false;
        }

        TraceFields fields = default;
        Gfp gfp = Gfp.None;
        if (kind == TraceEventKind.Other)
        {
            fields = TraceFields.Unknown;
        }
        else
        {
            if (!TraceFields.TryParse(kind, header.Fields, out fields, out reason))
            {
                return false;
            }

            // The trace option nohash-ptr of 6.1 leaves every text empty.
            if (!fields.Gfp.IsEmpty)
            {
                if (_gfp.Get(fields.Gfp) is not Gfp known)
                {
                    reason = $"has no GFP flags: {Utf8Fields.Quote(fields.Gfp)}";
                    return false;
                }

                gfp = known;
            }
        }

        bool isPage = kind is >= TraceEventKind.PageAlloc and <= TraceEventKind.PageAllocExtfrag;
        bool failed = kind is TraceEventKind.PageAlloc or TraceEventKind.PageAllocZoneLocked && IsNoPage(fields);
        reason = "";
        _afterUserText = kind == TraceEventKind.Other && IsUserText(name);
        traceEvent = new TraceEvent
        {
            Line = number,
            Kind = kind,
            EventName = name,
            Cpu = who.Cpu,
            Pid = who.Pid,
            TaskName = who.Task,
            TimestampNs = header.TimestampNs,
            Context = header.Context,
            PreemptDepth = header.PreemptDepth,
            Pfn = isPage && !failed ? (long)fields.Pfn : -1,
            Order = kind == TraceEventKind.PageFreeBatched && fields.Order < 0 ? 0 : fields.Order,
            MigrateType = fields.MigrateType,
            Gfp = gfp,
            PercpuRefill = fields.PercpuRefill,
            Failed = failed,
            FallbackOrder = fields.FallbackOrder,
            PageblockOrder = fields.PageblockOrder,
            FallbackMigrateType = fields.FallbackMigrateType,
            Fragmenting = fields.Fragmenting,
            ChangeOwnership = fields.ChangeOwnership,
            Ptr = fields.Ptr,
            BytesRequested = fields.BytesRequested,
            BytesAllocated = fields.BytesAllocated,
            Node = fields.Node,
            Accounted = fields.Accounted,
            CacheName = fields.CacheName.IsEmpty ? "" : _names.Get(fields.CacheName),
            CallSite = fields.CallSite.IsEmpty ? "" : _names.Get(fields.CallSite),
        };
        return true;
    }

    /// <summary>Whether an allocation event reports that there was no page: frame -1, printed as 0 with a null page.</summary>
    private static bool IsNoPage(in TraceFields fields) =>
        fields.Pfn is ulong.MaxValue or uint.MaxValue || (fields.Pfn == 0 && fields.PageIsNull);

    private static bool IsUserText(string name) => name is "tracing_mark_write" or "print" or "bprint" or "bputs";

    /// <summary>Reads a line that is no event but known: a header of trace-cmd, a note about lost events, a stack.</summary>
    private bool TryReadNote(ReadOnlySpan<byte> line)
    {
        if (line.StartsWith("cpus="u8))
        {
            if (Utf8Fields.TryParseDecimal(line[5..], out long cpus) && cpus is > 0 and < 8192)
            {
                CpuCount = (int)cpus;
                return true;
            }

            return false;
        }

        if (line.StartsWith("version = "u8) || (line.StartsWith("CPU "u8) && line.EndsWith(" is empty"u8)))
        {
            return true;
        }

        // "CPU:0 [LOST 12 EVENTS]" (ftrace), "CPU:0 [12 EVENTS DROPPED]" (trace-cmd).
        if (line.StartsWith("CPU:"u8) && line.EndsWith("]"u8) && line.IndexOf("EVENTS"u8) > 0)
        {
            LostEvents += FirstNumber(line[line.IndexOf((byte)'[')..], absent: 1);
            return true;
        }

        int record = line.IndexOf("PERF_RECORD_"u8);
        if (record >= 0)
        {
            // What perf says of tasks, maps and lost events among the samples (--show-task-events and its like).
            LostEvents += line[record..].StartsWith("PERF_RECORD_LOST"u8) ? FirstNumber(line[record..], absent: 1) : 0;
            return true;
        }

        // Stacks: " => function" (ftrace, trace-cmd), white space and an address (perf).
        ReadOnlySpan<byte> text = line.Trim(" \t"u8);
        return text.IsEmpty || text.StartsWith("=> "u8) || (line[0] is (byte)'\t' or (byte)' ' && IsStackLine(text));
    }

    /// <summary>Whether a text is <c>ffffffffbe23e32e function+0x22e (file)</c>, or the address alone.</summary>
    private static bool IsStackLine(ReadOnlySpan<byte> text)
    {
        int end = text.IndexOf((byte)' ');
        return Utf8Fields.TryParseHex(end < 0 ? text : text[..end], out _);
    }

    private void ReadComment(ReadOnlySpan<byte> line)
    {
        ReadOnlySpan<byte> entries = "# entries-in-buffer/entries-written: "u8;
        ReadOnlySpan<byte> online = "# nrcpus online : "u8;
        if (line.StartsWith(online) && Utf8Fields.TryParseDecimal(line[online.Length..], out long perfCpus) && perfCpus is > 0 and < 8192)
        {
            CpuCount = (int)perfCpus;
        }

        if (!line.StartsWith(entries))
        {
            return;
        }

        Utf8Fields fields = new(line[entries.Length..]);
        int slash = -1;
        if (!fields.TryNext(out ReadOnlySpan<byte> counts)
            || (slash = counts.IndexOf((byte)'/')) < 0
            || !Utf8Fields.TryParseDecimal(counts[..slash], out long inBuffer)
            || !Utf8Fields.TryParseDecimal(counts[(slash + 1)..], out long written)
            || inBuffer < 0 || written < inBuffer)
        {
            throw _lines.Fault($"{Utf8Fields.Quote(line)} does not tell two numbers of entries");
        }

        EntriesInBuffer = Math.Max(EntriesInBuffer, 0) + inBuffer;
        EntriesWritten = Math.Max(EntriesWritten, 0) + written;
        if (fields.TryNext(out ReadOnlySpan<byte> cpus) && cpus.StartsWith("#P:"u8) && Utf8Fields.TryParseDecimal(cpus[3..], out long count) && count is > 0 and < 8192)
        {
            CpuCount = (int)count;
        }
    }

    /// <summary>Puts a line that broke together with the next one; counts or reports it when that makes no event either.</summary>
    private bool TryRepair(ReadOnlySpan<byte> line, string why, out TraceEvent traceEvent)
    {
        int number = _lines.Line;
        string first = Utf8Fields.Quote(line);
        traceEvent = default;
        int length = Math.Min(line.Length, MaxBrokenLineBytes / 2);
        line[..length].CopyTo(_broken);
        if (_lines.TryRead(out ReadOnlySpan<byte> next))
        {
            int taken = Math.Min(next.Length, MaxBrokenLineBytes - length);
            next[..taken].CopyTo(_broken.AsSpan(length));
            if (TryParse(_broken.AsSpan(0, length + taken), number, out traceEvent, out _))
            {
                RepairedLines++;
                return true;
            }

            _lines.PushBack();
        }

        if (UnreadableLines >= _maxUnreadableLines)
        {
            throw new InputFileException(_lines.Path, number, $"{first} {why}");
        }

        UnreadableLines++;
        return false;
    }

    private static long FirstNumber(ReadOnlySpan<byte> text, long absent)
    {
        int start = text.IndexOfAnyInRange((byte)'0', (byte)'9');
        if (start < 0)
        {
            return absent;
        }

        text = text[start..];
        int end = text.IndexOfAnyExceptInRange((byte)'0', (byte)'9');
        return Utf8Fields.TryParseDecimal(end < 0 ? text : text[..end], out long value) ? value : absent;
    }
}
