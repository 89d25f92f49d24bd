using System.Buffers;
using System.Runtime.CompilerServices;

namespace MemSim.Recordings.Import;

/// <summary>What follows the CPU's column in a line that ftrace prints of a page event, taken apart in one pass.</summary>
/// <remarks>
/// Nearly all lines of a page trace look like this one: <c> d..3.     3.451194: mm_page_pcpu_drain: page=ffffea00000f3b40 pfn=0x3ced order=0 migratetype=1</c>. What looks the least bit different (other
/// blanks, another order of the fields, a failed allocation) is left to <see cref="TraceLineHeader"/> and <see cref="TraceFields"/>, which know all formats and say what is wrong.
/// </remarks>
internal ref struct TracePageLine
{
    private const int FlagColumns = 5;
    private const int AddressDigits = 16;
    private const int MostTimeDigits = 18;
    private const int MostDecimals = 9;
    private const long MaxSeconds = 9_000_000_000;

    private static readonly SearchValues<byte> HexDigits = SearchValues.Create("0123456789abcdef"u8);

    private ReadOnlySpan<byte> _rest;

    public TraceEventKind Kind;
    public string EventName;
    public TraceContext Context;
    public byte PreemptDepth;
    public bool ClockCounts;
    public long TimestampNs;
    public long Pfn;
    public int Order;
    public int MigrateType;
    public bool PercpuRefill;

    /// <summary>The text of the flags of an allocation.</summary>
    public ReadOnlySpan<byte> Gfp;

    /// <summary>Takes the text apart; false when it looks different.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out TracePageLine line)
    {
        line = default;
        line._rest = text;
        return line.TakeFlags() && line.TakeTime() && line.TakeEvent() && line.TakePage() && line.TakeOrder() && line.TakeWhatTheKindHas() && line._rest.IsEmpty;
    }

    private bool TakeFlags()
    {
        if (_rest.Length < FlagColumns + 2 || _rest[0] != (byte)' ' || char.IsAsciiDigit((char)_rest[1]) || _rest[FlagColumns + 1] != (byte)' '
            || _rest.Slice(1, FlagColumns).Contains((byte)' ') || !TraceLineHeader.TryFlags(_rest.Slice(1, FlagColumns), out Context, out PreemptDepth))
        {
            return false;
        }

        int blanks = FlagColumns + 1;
        while (blanks < _rest.Length && _rest[blanks] == (byte)' ')
        {
            blanks++;
        }

        _rest = _rest[blanks..];
        return true;
    }

    /// <summary>Takes <c>3.451194: </c>, or the count of a clock that counts.</summary>
    private bool TakeTime()
    {
        int digits = TakeDecimal(out long whole);
        if (digits is 0 or > MostTimeDigits)
        {
            return false;
        }

        ClockCounts = !_rest.StartsWith((byte)'.');
        TimestampNs = whole;
        if (!ClockCounts)
        {
            _rest = _rest[1..];
            int decimals = TakeDecimal(out long fraction);
            if (decimals is 0 or > MostDecimals || whole > MaxSeconds)
            {
                return false;
            }

            for (; decimals < MostDecimals; decimals++)
            {
                fraction *= 10;
            }

            TimestampNs = (whole * 1_000_000_000) + fraction;
        }

        return Take(": "u8);
    }

    private bool TakeEvent()
    {
        if (Take("mm_page_free: "u8))
        {
            (Kind, EventName) = (TraceEventKind.PageFree, "mm_page_free");
        }
        else if (Take("mm_page_alloc: "u8))
        {
            (Kind, EventName) = (TraceEventKind.PageAlloc, "mm_page_alloc");
        }
        else if (Take("mm_page_free_batched: "u8))
        {
            (Kind, EventName) = (TraceEventKind.PageFreeBatched, "mm_page_free_batched");
        }
        else if (Take("mm_page_alloc_zone_locked: "u8))
        {
            (Kind, EventName) = (TraceEventKind.PageAllocZoneLocked, "mm_page_alloc_zone_locked");
        }
        else if (Take("mm_page_pcpu_drain: "u8))
        {
            (Kind, EventName) = (TraceEventKind.PagePcpuDrain, "mm_page_pcpu_drain");
        }
        else
        {
            return false;
        }

        return true;
    }

    /// <summary>Takes <c>page=ffffea00000f3b40 pfn=0x3ced</c>: of the page's address only that there is one.</summary>
    private bool TakePage()
    {
        if (!Take("page="u8) || _rest.Length <= AddressDigits || _rest[0] != (byte)'f' || _rest[..AddressDigits].IndexOfAnyExcept(HexDigits) >= 0)
        {
            return false;
        }

        _rest = _rest[AddressDigits..];
        if (!Take(" pfn=0x"u8))
        {
            return false;
        }

        int digits = 0;
        long value = 0;
        for (; digits < _rest.Length && digits <= 8; digits++)
        {
            int c = _rest[digits];
            int digit = c <= '9' ? c - '0' : c is >= 'a' and <= 'f' ? c - 'a' + 10 : -1;
            if (digit < 0)
            {
                break;
            }

            value = (value << 4) | (uint)digit;
        }

        // Frame 0 may be none, and so may the largest number of 32 bits.
        Pfn = value;
        _rest = _rest[digits..];
        return digits is > 0 and <= 8 && value is not (0 or uint.MaxValue);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TakeOrder()
    {
        const int MaxOrder = 63;
        if (!Take(" order="u8) || !TakeBelow(10, out Order))
        {
            return false;
        }

        if (!_rest.IsEmpty && _rest[0] != (byte)' ')
        {
            int tens = Order;
            if (!TakeBelow(10, out int ones))
            {
                return false;
            }

            Order = (10 * tens) + ones;
        }

        return Order <= MaxOrder;
    }

    private bool TakeWhatTheKindHas()
    {
        MigrateType = -1;
        if (Kind is TraceEventKind.PageFree or TraceEventKind.PageFreeBatched)
        {
            return true;
        }

        if (!Take(" migratetype="u8) || !TakeBelow(8, out MigrateType))
        {
            return false;
        }

        switch (Kind)
        {
            case TraceEventKind.PageAlloc:
                if (!Take(" gfp_flags="u8) || _rest.IsEmpty || _rest.Contains((byte)' '))
                {
                    return false;
                }

                Gfp = _rest;
                _rest = default;
                return true;
            case TraceEventKind.PageAllocZoneLocked:
                if (!Take(" percpu_refill="u8) || !TakeBelow(2, out int refill))
                {
                    return false;
                }

                PercpuRefill = refill != 0;
                return true;
            default:
                return true;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Take(ReadOnlySpan<byte> expected)
    {
        if (!_rest.StartsWith(expected))
        {
            return false;
        }

        _rest = _rest[expected.Length..];
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TakeBelow(int limit, out int value)
    {
        value = _rest.IsEmpty ? -1 : _rest[0] - '0';
        if ((uint)value >= (uint)limit)
        {
            return false;
        }

        _rest = _rest[1..];
        return true;
    }

    /// <summary>Takes decimal digits, at most one more than a time may have; returns how many.</summary>
    private int TakeDecimal(out long value)
    {
        int digits = 0;
        value = 0;
        for (; digits < _rest.Length && digits <= MostTimeDigits; digits++)
        {
            uint digit = (uint)(_rest[digits] - '0');
            if (digit > 9)
            {
                break;
            }

            value = (value * 10) + digit;
        }

        _rest = _rest[digits..];
        return digits;
    }
}
