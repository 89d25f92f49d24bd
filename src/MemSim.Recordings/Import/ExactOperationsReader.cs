using MemSim.Captures;
using MemSim.Recordings.Import;

namespace MemSim.Recordings;

/// <summary>Reads a recorded operation sequence (<c>ops.txt.gz</c>) line by line, without allocating for each.</summary>
/// <remarks>
/// Checks what one line must hold and that a bulk or list operation is followed by as many pages as it announces. Migrate types are translated from the
/// recording kernel's numbers (no CMA: 4 is isolate) to <see cref="MigrateType"/>.
/// </remarks>
public sealed class ExactOperationsReader : IDisposable
{
    private const int MaxLineBytes = 1 << 16;
    private const long MaxPfn = 1L << 40;
    private const int RecordedIsolate = 4;

    private readonly Utf8LineReader _lines;
    private ExactCounters _counters;
    private bool _anyCounters;
    private int _pagesDue;
    private ExactOperationKind _pagesDueKind;

    /// <summary>Opens a recording, plain or packed.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputFileException">The file cannot be opened.</exception>
    public ExactOperationsReader(string path)
        : this(InputFile.Open(path), path)
    {
    }

    /// <summary>Reads a recording from a stream of unpacked bytes, which the reader disposes of.</summary>
    /// <param name="stream">The lines.</param>
    /// <param name="path">The name for messages.</param>
    public ExactOperationsReader(Stream stream, string path) => _lines = new Utf8LineReader(stream, path, MaxLineBytes);

    /// <summary>Reads the next operation.</summary>
    /// <param name="operation">The operation, or nothing at the end.</param>
    /// <returns>False at the end of the recording.</returns>
    /// <exception cref="InputFileException">The line is no operation, or the file is cut off.</exception>
    public bool TryRead(out ExactOperation operation)
    {
        if (!_lines.TryRead(out ReadOnlySpan<byte> line))
        {
            if (_pagesDue > 0)
            {
                throw _lines.Fault($"the recording ends where {_pagesDue} more '{(_pagesDueKind == ExactOperationKind.BulkPage ? 'b' : 'l')}' lines are due");
            }

            operation = default;
            return false;
        }

        Utf8Fields fields = new(line);
        if (!fields.TryNext(out ReadOnlySpan<byte> kind) || kind.Length != 1)
        {
            throw Bad(line, "starts with no operation letter");
        }

        operation = Parse(kind[0], line, ref fields);
        if (!fields.AtEnd)
        {
            throw Bad(line, "has too many fields");
        }

        TrackPages(operation);
        return true;
    }

    /// <inheritdoc/>
    public void Dispose() => _lines.Dispose();

    private ExactOperation Parse(byte kind, ReadOnlySpan<byte> line, ref Utf8Fields fields)
    {
        switch (kind)
        {
            case (byte)'A':
                return ParseAllocate(line, ref fields);
            case (byte)'F':
                {
                    int order = Number(line, ref fields, "order", 0, PageGeometry.MaxOrder);
                    long pfn = Frame(line, ref fields);
                    int zone = Number(line, ref fields, "zone", 0, 3);
                    int type = Type(line, ref fields, 0);
                    return Operation(ExactOperationKind.Free, order: order, pfn: pfn, zone: zone, type: type, hasCounters: Counters(line, ref fields));
                }

            case (byte)'B':
                {
                    int count = Number(line, ref fields, "number of pages", 0, int.MaxValue);
                    Gfp gfp = Flags(line, ref fields);
                    int got = Number(line, ref fields, "number of pages delivered", 0, count);
                    return Operation(ExactOperationKind.BulkAllocate, gfp: gfp, count: count, got: got, hasCounters: Counters(line, ref fields));
                }

            case (byte)'b':
            case (byte)'l':
                {
                    long pfn = Frame(line, ref fields);
                    int zone = Number(line, ref fields, "zone", 0, 3);
                    int type = Type(line, ref fields, 0);
                    return Operation(kind == (byte)'b' ? ExactOperationKind.BulkPage : ExactOperationKind.ListPage, pfn: pfn, zone: zone, type: type);
                }

            case (byte)'L':
                return Operation(ExactOperationKind.FreeList, count: Number(line, ref fields, "number of pages", 0, int.MaxValue));
            case (byte)'S':
                {
                    int order = Number(line, ref fields, "order", 0, PageGeometry.MaxOrder);
                    return Operation(ExactOperationKind.Split, order: order, pfn: Frame(line, ref fields));
                }

            case (byte)'D':
                {
                    int zone = Number(line, ref fields, "zone", -1, 3);
                    return Operation(ExactOperationKind.Drain, zone: zone, hasCounters: Counters(line, ref fields));
                }

            case (byte)'Z':
                {
                    int zone = Number(line, ref fields, "zone", 0, 3);
                    return Operation(ExactOperationKind.DrainBatch, zone: zone, hasCounters: Counters(line, ref fields));
                }

            case (byte)'M':
                {
                    int number = Number(line, ref fields, "marker", 0, int.MaxValue);
                    return Operation(ExactOperationKind.Marker, count: number, hasCounters: Counters(line, ref fields));
                }

            default:
                throw Bad(line, "starts with no operation letter");
        }
    }

    private ExactOperation ParseAllocate(ReadOnlySpan<byte> line, ref Utf8Fields fields)
    {
        int order = Number(line, ref fields, "order", 0, PageGeometry.MaxOrder);
        Gfp gfp = Flags(line, ref fields);
        if (!fields.TryNext(out ReadOnlySpan<byte> who) || who.Length != 1)
        {
            throw Bad(line, "has no caller");
        }

        ExactCaller caller = who[0] switch
        {
            (byte)'-' => ExactCaller.Ordinary,
            (byte)'m' => ExactCaller.MemAlloc,
            (byte)'o' => ExactCaller.OomVictim,
            _ => throw Bad(line, "has a caller that is not '-', 'm' or 'o'"),
        };
        if (!fields.TryNext(out ReadOnlySpan<byte> frame))
        {
            throw Bad(line, "has no frame number");
        }

        bool failed = frame is [(byte)'-'];
        long pfn = -1;
        if (!failed && (!Utf8Fields.TryParseDecimal(frame, out pfn) || pfn is < 0 or > MaxPfn))
        {
            throw Bad(line, $"has {Utf8Fields.Quote(frame)} as frame number");
        }

        int zone = Number(line, ref fields, "zone", failed ? -1 : 0, failed ? -1 : 3);
        int type = Type(line, ref fields, failed ? -1 : 0);
        if (failed != type < 0)
        {
            throw Bad(line, "names a migrate type without a page");
        }

        return Operation(ExactOperationKind.Allocate, order, gfp, caller, pfn, zone, type, hasCounters: Counters(line, ref fields));
    }

    private ExactOperation Operation(
        ExactOperationKind kind,
        int order = 0,
        Gfp gfp = Gfp.None,
        ExactCaller caller = ExactCaller.Ordinary,
        long pfn = -1,
        int zone = -1,
        int type = -1,
        int count = 0,
        int got = 0,
        bool hasCounters = false) => new(kind, _lines.Line, order, gfp, caller, pfn, zone, type, count, got, hasCounters, _counters);

    private void TrackPages(in ExactOperation operation)
    {
        bool isPage = operation.Kind is ExactOperationKind.BulkPage or ExactOperationKind.ListPage;
        if (_pagesDue > 0)
        {
            if (operation.Kind != _pagesDueKind)
            {
                throw _lines.Fault($"{_pagesDue} more '{(_pagesDueKind == ExactOperationKind.BulkPage ? 'b' : 'l')}' lines are due here");
            }

            _pagesDue--;
        }
        else if (isPage)
        {
            throw _lines.Fault("a page line without the 'B' or 'L' line it belongs to");
        }
        else if (operation.Kind == ExactOperationKind.BulkAllocate)
        {
            _pagesDue = operation.Got;
            _pagesDueKind = ExactOperationKind.BulkPage;
        }
        else if (operation.Kind == ExactOperationKind.FreeList)
        {
            _pagesDue = operation.Count;
            _pagesDueKind = ExactOperationKind.ListPage;
        }
    }

    private bool Counters(ReadOnlySpan<byte> line, ref Utf8Fields fields)
    {
        if (!fields.TryNext(out ReadOnlySpan<byte> field))
        {
            throw Bad(line, "has no counters");
        }

        if (field is [(byte)'='])
        {
            return _anyCounters ? true : throw Bad(line, "refers to counters of a line above, but there are none");
        }

        Span<long> values = stackalloc long[4];
        for (int i = 0; i < values.Length; i++)
        {
            int comma = field.IndexOf((byte)',');
            bool last = i == values.Length - 1;
            if (last != comma < 0 || !Utf8Fields.TryParseDecimal(last ? field : field[..comma], out values[i]) || values[i] is < 0 or > MaxPfn)
            {
                throw Bad(line, "does not have '=' or four counters separated by commas");
            }

            field = field[(comma + 1)..];
        }

        _counters = new ExactCounters(values[0], values[1], values[2], values[3]);
        _anyCounters = true;
        return true;
    }

    private Gfp Flags(ReadOnlySpan<byte> line, ref Utf8Fields fields) =>
        fields.TryNext(out ReadOnlySpan<byte> field) && Utf8Fields.TryParseHex(field, out ulong value) && value <= uint.MaxValue
            ? (Gfp)value
            : throw Bad(line, "has no hexadecimal flags of 32 bits");

    private long Frame(ReadOnlySpan<byte> line, ref Utf8Fields fields) =>
        fields.TryDecimal(0, MaxPfn, out long pfn) ? pfn : throw Bad(line, $"has no frame number from 0 to {MaxPfn}");

    private int Type(ReadOnlySpan<byte> line, ref Utf8Fields fields, int min)
    {
        int type = Number(line, ref fields, "migrate type", min, RecordedIsolate);
        return type == RecordedIsolate ? (int)MigrateType.Isolate : type;
    }

    private int Number(ReadOnlySpan<byte> line, ref Utf8Fields fields, string what, int min, int max) =>
        fields.TryDecimal(min, max, out long value) ? (int)value : throw Bad(line, $"has no {what} from {min} to {max}");

    private InputFileException Bad(ReadOnlySpan<byte> line, string what) => _lines.Fault($"{Utf8Fields.Quote(line)} {what}");
}
