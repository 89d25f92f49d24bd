namespace MemSim.Recordings.Import;

/// <summary>What stands before the fields of an event's line: task, CPU, context, time, event.</summary>
/// <remarks>
/// ftrace:            <c>   busybox-99      [000] d..3.     3.451194: mm_page_alloc: fields</c> (the flags are optional, a thread group in parentheses may follow the pid);
/// trace-cmd:         the same without flags; with <c>-l</c> <c> busybox-98      0d..3.     6.625374: mm_page_alloc:   fields</c>;
/// perf:              <c>   busybox   209 [000]    19.552581:   kmem:mm_page_alloc: fields</c>, with <c>--ns</c> <c>209/209</c> and nine decimals, with <c>-F +period</c> a number
///                    before the event, with <c>-L</c> the CPU without brackets, with <c>-F</c> of fields without <c>cpu</c> no CPU at all (<see cref="NamesNoCpu"/>).
/// Task names may hold spaces, brackets and colons, so the column that fits as a whole decides, not the first character that looks right.
/// </remarks>
internal ref struct TraceLineHeader
{
    public const int MaxPid = 1 << 22;
    public const int MaxCpu = 8192;

    /// <summary>A blank and three columns: what <c>perf script -L</c> prints for a CPU. A pid has five, so that a name that ends in a number is not taken for a pid.</summary>
    private const int CpuColumn = 4;

    public ReadOnlySpan<byte> Task;
    public ReadOnlySpan<byte> Event;
    public ReadOnlySpan<byte> Fields;
    public int Pid;
    public int Cpu;
    public long TimestampNs;
    public bool ClockCounts;
    public TraceContext Context;
    public byte PreemptDepth;

    /// <summary>How much of the line tells the task and the CPU; 0 where that is not its beginning.</summary>
    public int PrefixLength;

    /// <summary>Whether the line tells no CPU; <see cref="Cpu"/> is 0 then.</summary>
    public bool NamesNoCpu;

    /// <summary>Takes a line apart; false when it is no event's line.</summary>
    public static bool TryParse(ReadOnlySpan<byte> line, out TraceLineHeader header)
    {
        header = default;
        int from = 0;
        while (true)
        {
            int bracket = line[from..].IndexOf((byte)'[');
            if (bracket < 0)
            {
                return TryParseLatency(line, ref header) || TryParsePerf(line, ref header);
            }

            bracket += from;
            if (TryParseAt(line, bracket, ref header))
            {
                return true;
            }

            from = bracket + 1;
        }
    }

    /// <summary>Takes what follows the CPU's column apart, of a line whose beginning is known.</summary>
    public static bool TryParseAfterCpu(ReadOnlySpan<byte> rest, ref TraceLineHeader header) => TryRest(rest, ref header, flagsRequired: false);

    /// <summary>Tries a CPU column <c>[000]</c> at a position.</summary>
    private static bool TryParseAt(ReadOnlySpan<byte> line, int bracket, ref TraceLineHeader header)
    {
        int close = line[bracket..].IndexOf((byte)']');
        return close > 1
            && Utf8Fields.TryParseDecimal(line.Slice(bracket + 1, close - 1), out long cpu) && cpu is >= 0 and < MaxCpu
            && TryTask(line[..bracket], ref header)
            && TryRest(line[(bracket + close + 1)..], ref header, flagsRequired: false)
            && Set(out header.Cpu, (int)cpu)
            && Set(out header.PrefixLength, bracket + close + 1);
    }

    /// <summary>Tries trace-cmd's latency format, in which flags follow the CPU's digits at once.</summary>
    private static bool TryParseLatency(ReadOnlySpan<byte> line, ref TraceLineHeader header)
    {
        int from = 0;
        while (true)
        {
            int dash = line[from..].IndexOf((byte)'-');
            if (dash < 0)
            {
                return false;
            }

            dash += from;
            from = dash + 1;
            ReadOnlySpan<byte> rest = line[(dash + 1)..];
            int pidLength = CountDigits(rest);
            if (pidLength == 0 || pidLength == rest.Length || rest[pidLength] != (byte)' ' || !Utf8Fields.TryParseDecimal(rest[..pidLength], out long pid) || pid > MaxPid)
            {
                continue;
            }

            rest = TrimSpaces(rest[pidLength..]);
            int cpuLength = CountDigits(rest);
            if (cpuLength == 0 || !Utf8Fields.TryParseDecimal(rest[..cpuLength], out long cpu) || cpu >= MaxCpu || !TryRest(rest[cpuLength..], ref header, flagsRequired: true))
            {
                continue;
            }

            header.Task = TrimSpaces(line[..dash]);
            header.Pid = (int)pid;
            header.Cpu = (int)cpu;
            return true;
        }
    }

    /// <summary>Tries perf's columns without brackets: <c>name pid cpu time: subsystem:event: fields</c>, or without the CPU. The first word that is a time decides, and the width of the column before it.</summary>
    private static bool TryParsePerf(ReadOnlySpan<byte> line, ref TraceLineHeader header)
    {
        int from = 0;
        while (true)
        {
            int colon = line[from..].IndexOf(": "u8);
            if (colon < 0)
            {
                return false;
            }

            colon += from;
            from = colon + 1;
            int time = line[..colon].LastIndexOf((byte)' ') + 1;
            if (time == 0 || line[time..colon].IndexOf((byte)'.') < 0 || !TryRest(line[time..], ref header, flagsRequired: false))
            {
                continue;
            }

            ReadOnlySpan<byte> who = line[..time].TrimEnd((byte)' ');
            int last = who.LastIndexOf((byte)' ') + 1;
            ReadOnlySpan<byte> before = who[..last].TrimEnd((byte)' ');
            if (who.Length - before.Length == CpuColumn && Utf8Fields.TryParseDecimal(who[last..], out long cpu) && cpu >= 0 && TryTask(before, ref header))
            {
                header.Cpu = (int)cpu;
                return true;
            }

            header.NamesNoCpu = true;
            return TryTask(who, ref header);
        }
    }

    /// <summary>Takes <c>name-pid</c>, <c>name-pid (tgid)</c>, <c>name pid</c> or <c>name pid/tid</c> apart.</summary>
    private static bool TryTask(ReadOnlySpan<byte> text, ref TraceLineHeader header)
    {
        text = text.TrimEnd((byte)' ');
        if (text.EndsWith(")"u8))
        {
            // "busybox-98 ( 98)" or "busybox-98 (-----)".
            int open = text.LastIndexOf((byte)'(');
            if (open <= 0)
            {
                return false;
            }

            text = text[..open].TrimEnd((byte)' ');
        }

        int digits = 0;
        while (digits < text.Length && char.IsAsciiDigit((char)text[^(digits + 1)]))
        {
            digits++;
        }

        if (digits == 0 || digits == text.Length || !Utf8Fields.TryParseDecimal(text[^digits..], out long pid) || pid > MaxPid)
        {
            return false;
        }

        text = text[..^digits];
        if (text[^1] == (byte)'/')
        {
            // perf --ns prints process/thread; the kernel's pid is the thread.
            text = text[..^1];
            while (text.Length > 0 && char.IsAsciiDigit((char)text[^1]))
            {
                text = text[..^1];
            }

            if (!text.EndsWith(" "u8))
            {
                return false;
            }
        }

        if (text[^1] is not ((byte)'-' or (byte)' '))
        {
            return false;
        }

        header.Task = text[..^1].Trim((byte)' ');
        header.Pid = (int)pid;
        return true;
    }

    /// <summary>Takes <c>flags time: event: fields</c> apart.</summary>
    private static bool TryRest(ReadOnlySpan<byte> text, ref TraceLineHeader header, bool flagsRequired)
    {
        Utf8Fields fields = new(text);
        if (!fields.TryNext(out ReadOnlySpan<byte> word))
        {
            return false;
        }

        header.Context = TraceContext.None;
        header.PreemptDepth = 0;
        if (flagsRequired || !char.IsAsciiDigit((char)word[0]))
        {
            if (!TryFlags(word, out header.Context, out header.PreemptDepth) || !fields.TryNext(out word))
            {
                return false;
            }
        }

        if (word[^1] != (byte)':' || !TryTime(word[..^1], ref header))
        {
            return false;
        }

        // perf's period, where it is asked for.
        if (!fields.TryNext(out word) || (CountDigits(word) == word.Length && !fields.TryNext(out word)) || word.Length < 2 || word.StartsWith("PERF_RECORD_"u8))
        {
            return false;
        }

        // "<stack trace>" has no colon; it and what follows are of no interest.
        if (word[^1] == (byte)':')
        {
            word = word[..^1];
        }
        else if (word[0] != (byte)'<')
        {
            return false;
        }

        int subsystem = word.LastIndexOf((byte)':');
        header.Event = word[(subsystem + 1)..];
        header.Fields = fields.Rest;
        return !header.Event.IsEmpty;
    }

    /// <summary>Reads seconds with decimals, or the count of a clock that counts.</summary>
    public static bool TryTime(ReadOnlySpan<byte> text, ref TraceLineHeader header)
    {
        int dot = text.IndexOf((byte)'.');
        if (dot < 0)
        {
            header.ClockCounts = true;
            return Utf8Fields.TryParseDecimal(text, out header.TimestampNs) && header.TimestampNs >= 0;
        }

        ReadOnlySpan<byte> decimals = text[(dot + 1)..];
        if (decimals.Length > 9 || !Utf8Fields.TryParseDecimal(text[..dot], out long seconds) || !Utf8Fields.TryParseDecimal(decimals, out long fraction)
            || seconds is < 0 or > 9_000_000_000 || fraction < 0)
        {
            return false;
        }

        for (int i = decimals.Length; i < 9; i++)
        {
            fraction *= 10;
        }

        header.ClockCounts = false;
        header.TimestampNs = (seconds * 1_000_000_000) + fraction;
        return true;
    }

    /// <summary>Reads <c>d..3.</c>: interrupts, reschedule, interrupt context, preemption depth and, since 5.12, migration.</summary>
    public static bool TryFlags(ReadOnlySpan<byte> flags, out TraceContext context, out byte preemptDepth)
    {
        context = TraceContext.None;
        preemptDepth = 0;
        if (flags.Length is < 4 or > 7 || flags[^1] == (byte)':')
        {
            return false;
        }

        context = TraceContext.Known;
        context |= flags[0] switch
        {
            (byte)'d' or (byte)'X' => TraceContext.InterruptsOff,
            (byte)'b' => TraceContext.BottomHalvesOff,
            (byte)'D' => TraceContext.InterruptsOff | TraceContext.BottomHalvesOff,
            _ => TraceContext.None,
        };
        context |= flags[1] == (byte)'.' ? TraceContext.None : TraceContext.NeedReschedule;
        context |= flags[2] switch
        {
            (byte)'h' => TraceContext.HardInterrupt,
            (byte)'s' => TraceContext.SoftInterrupt,
            (byte)'H' => TraceContext.HardInterrupt | TraceContext.SoftInterrupt,
            (byte)'z' => TraceContext.NonMaskableInterrupt,
            (byte)'Z' => TraceContext.NonMaskableInterrupt | TraceContext.HardInterrupt,
            _ => TraceContext.None,
        };
        preemptDepth = flags[3] == (byte)'.' || !Utf8Fields.TryParseHex(flags.Slice(3, 1), out ulong depth) ? (byte)0 : (byte)depth;
        return true;
    }

    private static int CountDigits(ReadOnlySpan<byte> text)
    {
        int end = text.IndexOfAnyExceptInRange((byte)'0', (byte)'9');
        return end < 0 ? text.Length : end;
    }

    private static ReadOnlySpan<byte> TrimSpaces(ReadOnlySpan<byte> text) => text.Trim((byte)' ');

    private static bool Set(out int field, int value)
    {
        field = value;
        return true;
    }
}
