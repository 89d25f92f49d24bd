using System.Buffers;

namespace MemSim.Recordings.Import;

/// <summary>The <c>key=value</c> part of a kmem event, read into numbers.</summary>
internal ref struct TraceFields
{
    private const ulong MaxPfn = 1UL << 40;

    private static readonly SearchValues<byte> HexDigits = SearchValues.Create("0123456789abcdef"u8);

    /// <summary>The fields of an event that has none of them.</summary>
    public static TraceFields Unknown => new() { Pfn = ulong.MaxValue, Order = -1, MigrateType = -1, FallbackOrder = -1, PageblockOrder = -1, FallbackMigrateType = -1, Node = -1 };

    [Flags]
    private enum Seen
    {
        None = 0,
        Page = 1,
        Pfn = 2,
        Order = 4,
        MigrateType = 8,
        Gfp = 16,
        Refill = 32,
        FallbackOrder = 64,
        PageblockOrder = 128,
        FallbackType = 256,
        Fragmenting = 512,
        Ownership = 1024,
        Ptr = 2048,
        Requested = 4096,
        Allocated = 8192,
    }

    public bool PageIsNull;
    public ulong Pfn;
    public int Order;
    public int MigrateType;
    public int FallbackOrder;
    public int PageblockOrder;
    public int FallbackMigrateType;
    public int Node;
    public long BytesRequested;
    public long BytesAllocated;
    public ulong Ptr;
    public bool PercpuRefill;
    public bool Fragmenting;
    public bool ChangeOwnership;
    public bool Accounted;
    public ReadOnlySpan<byte> Gfp;
    public ReadOnlySpan<byte> CallSite;
    public ReadOnlySpan<byte> CacheName;

    private Seen _seen;

    /// <summary>Reads the fields of an event of a kind; false with the reason when one is missing or no number.</summary>
    public static bool TryParse(TraceEventKind kind, ReadOnlySpan<byte> text, out TraceFields result, out string reason)
    {
        result = new TraceFields { PageIsNull = true, Order = -1, MigrateType = -1, FallbackOrder = -1, PageblockOrder = -1, FallbackMigrateType = -1, Node = -1 };
        Utf8Fields words = new(text);
        while (words.TryNext(out ReadOnlySpan<byte> word))
        {
            // Names are short: byte by byte is faster here.
            int equals = 0;
            while (equals < word.Length && word[equals] != (byte)'=')
            {
                equals++;
            }

            if (equals == 0 || equals == word.Length)
            {
                // The module after a call site: "call_site=zram_bvec_write+0x1/0x2 [zram]".
                if (word.Length > 2 && word[0] == (byte)'[')
                {
                    continue;
                }

                reason = $"holds {Utf8Fields.Quote(word)}, which is no field";
                return false;
            }

            ReadOnlySpan<byte> key = word[..equals];
            ReadOnlySpan<byte> value = word[(equals + 1)..];
            if (key.SequenceEqual("name"u8))
            {
                // A cache's name may hold spaces: it ends with the line, or before the field that 6.2 and later (frees) and 6.18 and later (allocations) put behind it.
                ReadOnlySpan<byte> rest = words.Rest;
                int tail = EndOfName(rest);
                int start = text.Length - rest.Length - value.Length;
                result.CacheName = text.Slice(start, value.Length + tail).TrimEnd((byte)' ');
                words = new Utf8Fields(rest[tail..]);
                continue;
            }

            if (value.IsEmpty && words.Rest.TrimStart((byte)' ').StartsWith("("u8))
            {
                // Kernels before 4.15 pad a null pointer to the width of an address: "ptr=          (null)".
                words.TryNext(out value);
            }

            if (!result.TrySet(key, value))
            {
                reason = $"holds {Utf8Fields.Quote(word)}: not a value this field can have, or a second one";
                return false;
            }
        }

        if ((result._seen & (Seen.FallbackOrder | Seen.PageblockOrder)) == (Seen.FallbackOrder | Seen.PageblockOrder))
        {
            result.Fragmenting = result.FallbackOrder < result.PageblockOrder;
        }

        Seen missing = Required(kind) & ~result._seen;
        reason = missing == Seen.None ? "" : $"lacks fields: {missing}";
        return missing == Seen.None;
    }

    /// <summary>Where a cache's name ends that is not the last field.</summary>
    private static int EndOfName(ReadOnlySpan<byte> rest)
    {
        int pointer = rest.IndexOf(" ptr="u8);
        int bytes = rest.IndexOf(" bytes_req="u8);
        return pointer < 0 && bytes < 0 ? rest.Length : pointer < 0 ? bytes : bytes < 0 ? pointer : Math.Min(pointer, bytes);
    }

    private static Seen Required(TraceEventKind kind) => kind switch
    {
        TraceEventKind.PageAlloc => Seen.Pfn | Seen.Order | Seen.MigrateType | Seen.Gfp,
        TraceEventKind.PageFree => Seen.Pfn | Seen.Order,
        TraceEventKind.PageFreeBatched => Seen.Pfn,
        TraceEventKind.PageAllocZoneLocked => Seen.Pfn | Seen.Order | Seen.MigrateType,
        TraceEventKind.PagePcpuDrain => Seen.Pfn | Seen.Order | Seen.MigrateType,
        TraceEventKind.PageAllocExtfrag => Seen.Pfn | Seen.Order | Seen.MigrateType | Seen.FallbackOrder | Seen.FallbackType | Seen.Ownership,
        TraceEventKind.Kmalloc or TraceEventKind.KmemCacheAlloc => Seen.Ptr | Seen.Requested | Seen.Allocated | Seen.Gfp,
        TraceEventKind.Kfree or TraceEventKind.KmemCacheFree => Seen.Ptr,
        _ => Seen.None,
    };

    private bool TrySet(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        // By length first: most lines are told apart by it alone.
        switch (key.Length)
        {
            case 3 when key.SequenceEqual("pfn"u8):
                return Mark(Seen.Pfn, TryFrame(value, out Pfn));
            case 3 when key.SequenceEqual("ptr"u8):
                return Mark(Seen.Ptr, TryPointer(value, out Ptr));
            case 4 when key.SequenceEqual("page"u8):
                return Mark(Seen.Page, TryPage(value, out PageIsNull));
            case 4 when key.SequenceEqual("node"u8):
                return TryInt(value, -1, 1024, out Node);
            case 5 when key.SequenceEqual("order"u8):
                return Mark(Seen.Order, TryInt(value, 0, 63, out Order));
            case 9 when key.SequenceEqual("gfp_flags"u8):
                Gfp = value;
                return Mark(Seen.Gfp, true);
            case 9 when key.SequenceEqual("call_site"u8):
                CallSite = value;
                return true;
            case 9 when key.SequenceEqual("bytes_req"u8):
                return Mark(Seen.Requested, Utf8Fields.TryParseDecimal(value, out BytesRequested) && BytesRequested >= 0);
            case 9 when key.SequenceEqual("accounted"u8):
                return TryBool(value, out Accounted);
            case 11 when key.SequenceEqual("migratetype"u8):
                return Mark(Seen.MigrateType, TryInt(value, 0, 7, out MigrateType));
            case 11 when key.SequenceEqual("bytes_alloc"u8):
                return Mark(Seen.Allocated, Utf8Fields.TryParseDecimal(value, out BytesAllocated) && BytesAllocated >= 0);
            case 11 when key.SequenceEqual("alloc_order"u8):
                return Mark(Seen.Order, TryInt(value, 0, 63, out Order));
            case 11 when key.SequenceEqual("fragmenting"u8):
                // trace-cmd evaluates the comparison behind this field wrongly and prints an order ("fragmenting=10").
                bool isNumber = TryInt(value, 0, 63, out int printed);
                Fragmenting = printed == 1;
                return Mark(Seen.Fragmenting, isNumber);
            case 13 when key.SequenceEqual("percpu_refill"u8):
                return Mark(Seen.Refill, TryBool(value, out PercpuRefill));
            case 14 when key.SequenceEqual("fallback_order"u8):
                return Mark(Seen.FallbackOrder, TryInt(value, 0, 63, out FallbackOrder));
            case 15 when key.SequenceEqual("pageblock_order"u8):
                return Mark(Seen.PageblockOrder, TryInt(value, 0, 63, out PageblockOrder));
            case 16 when key.SequenceEqual("change_ownership"u8):
                return Mark(Seen.Ownership, TryBool(value, out ChangeOwnership));
            case 17 when key.SequenceEqual("alloc_migratetype"u8):
                return Mark(Seen.MigrateType, TryInt(value, 0, 7, out MigrateType));
            case 20 when key.SequenceEqual("fallback_migratetype"u8):
                return Mark(Seen.FallbackType, TryInt(value, 0, 7, out FallbackMigrateType));
            default:
                // Fields of other kernel versions ("cold", "hitcpu") say nothing that is needed.
                return true;
        }
    }

    private bool Mark(Seen field, bool valid)
    {
        // A second value of the same field means that two lines ran together.
        valid &= (_seen & field) == Seen.None;
        _seen |= field;
        return valid;
    }

    private static bool TryFrame(ReadOnlySpan<byte> text, out ulong pfn)
    {
        // Hexadecimal since 5.13, decimal before.
        if (text.StartsWith("0x"u8))
        {
            return Utf8Fields.TryParseHex(text, out pfn) && (pfn <= MaxPfn || pfn == ulong.MaxValue || pfn == uint.MaxValue);
        }

        // A tool that prints the event's raw field writes the frame of a failed allocation as -1, signed or not.
        if (text.SequenceEqual("-1"u8) || text.SequenceEqual("18446744073709551615"u8))
        {
            pfn = ulong.MaxValue;
            return true;
        }

        bool valid = Utf8Fields.TryParseDecimal(text, out long value) && value >= 0 && ((ulong)value <= MaxPfn || value == uint.MaxValue);
        pfn = (ulong)value;
        return valid;
    }

    /// <summary>Whether there is a page. Its address is not needed otherwise: trace-cmd and perf print a wrong one, a kernel by default a hash.</summary>
    private static bool TryPage(ReadOnlySpan<byte> text, out bool isNull)
    {
        isNull = false;
        if (text.Length == 16 && text[0] == (byte)'f' && text.IndexOfAnyExcept(HexDigits) < 0)
        {
            return true;
        }

        bool valid = TryPointer(text, out ulong address);
        isNull = address == 0;
        return valid;
    }

    private static bool TryPointer(ReadOnlySpan<byte> text, out ulong pointer)
    {
        // Before the kernel has randomness it prints "(____ptrval____)"; libtraceevent prints "(nil)".
        if (text.Length > 1 && text[0] == (byte)'(')
        {
            pointer = text.IndexOf("nil"u8) > 0 || text.IndexOf("null"u8) > 0 ? 0 : ulong.MaxValue;
            return true;
        }

        return Utf8Fields.TryParseHex(text, out pointer);
    }

    private static bool TryInt(ReadOnlySpan<byte> text, int min, int max, out int value)
    {
        bool valid = Utf8Fields.TryParseDecimal(text, out long number) && number >= min && number <= max;
        value = valid ? (int)number : min;
        return valid;
    }

    private static bool TryBool(ReadOnlySpan<byte> text, out bool value)
    {
        value = text.SequenceEqual("1"u8) || text.SequenceEqual("true"u8);
        return value || text.SequenceEqual("0"u8) || text.SequenceEqual("false"u8);
    }
}
