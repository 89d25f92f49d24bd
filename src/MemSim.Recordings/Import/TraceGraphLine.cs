namespace MemSim.Recordings.Import;

/// <summary>A line of the <c>function_graph</c> tracer, which prints events as comments between the functions.</summary>
/// <remarks>
/// <c> 1287587.105144 |   1)               |  /* mm_page_alloc: fields */</c>, with options a time before the CPU and a task behind it
/// (<c> 1)  bash-2342    |  d..1 |   0.123 us    |  function();</c>). Lines of functions, of switches between tasks and of dashes are no events.
/// </remarks>
internal static class TraceGraphLine
{
    /// <summary>Recognises a line.</summary>
    /// <param name="line">The line, not empty.</param>
    /// <param name="header">The event, where the line is the comment of one; otherwise its <see cref="TraceLineHeader.Event"/> is empty.</param>
    /// <returns>False when the line is of another kind.</returns>
    public static bool TryParse(ReadOnlySpan<byte> line, out TraceLineHeader header)
    {
        header = default;
        ReadOnlySpan<byte> text = line.Trim((byte)' ');
        if (text.Length > 8 && text.IndexOfAnyExcept((byte)'-') < 0)
        {
            return true;
        }

        int close = text.IndexOf((byte)')');
        if (close <= 0 || !TryCpu(text[..close], ref header))
        {
            return false;
        }

        text = text[(close + 1)..];
        int comment = text.IndexOf("/* "u8);
        if (comment < 0 || !text.EndsWith(" */"u8))
        {
            // A function, or "0)  bash-1  =>  sh-2": what is not known to be one of them is not passed over in silence.
            return text.IndexOf((byte)'|') >= 0 || text.IndexOf("=>"u8) >= 0;
        }

        ReadOnlySpan<byte> columns = text[..comment];
        ReadOnlySpan<byte> words = text[(comment + 3)..^3];
        int colon = words.IndexOf((byte)':');
        if (colon > 0 && words[..colon].IndexOf((byte)' ') < 0)
        {
            header.Event = words[..colon];
            header.Fields = words[(colon + 1)..];
            ReadTask(columns, ref header);
        }

        return true;
    }

    /// <summary>Reads <c>CPU</c> or <c>TIME |   CPU</c>.</summary>
    private static bool TryCpu(ReadOnlySpan<byte> text, ref TraceLineHeader header)
    {
        int bar = text.IndexOf((byte)'|');
        if (bar >= 0)
        {
            if (!TraceLineHeader.TryTime(text[..bar].TrimEnd((byte)' '), ref header))
            {
                return false;
            }

            text = text[(bar + 1)..].TrimStart((byte)' ');
        }

        bool isCpu = Utf8Fields.TryParseDecimal(text, out long cpu) && cpu is >= 0 and < TraceLineHeader.MaxCpu;
        header.Cpu = (int)cpu;
        return isCpu;
    }

    /// <summary>Reads the column <c>task-pid</c> where there is one.</summary>
    private static void ReadTask(ReadOnlySpan<byte> columns, ref TraceLineHeader header)
    {
        int bar = columns.IndexOf((byte)'|');
        ReadOnlySpan<byte> task = bar < 0 ? default : columns[..bar].Trim((byte)' ');
        int dash = task.LastIndexOf((byte)'-');
        if (dash > 0 && Utf8Fields.TryParseDecimal(task[(dash + 1)..], out long pid) && pid is >= 0 and <= TraceLineHeader.MaxPid)
        {
            header.Task = task[..dash];
            header.Pid = (int)pid;
        }
    }
}
