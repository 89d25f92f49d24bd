namespace MemSim.Reports.Reading;

/// <summary>What a line of a log is, as far as reports go.</summary>
internal enum LineKind
{
    /// <summary>Nothing known.</summary>
    Other,
    Blank,

    /// <summary>A mark that lines were left out.</summary>
    Cut,
    AllocationFailureHead,

    /// <summary>A request that has waited for long (4.9 to 4.14).</summary>
    StallHead,
    OomHead,
    VmallocHead,
    NoMmuHead,
    SlubHead,
    ShowMemoryHead,
    CmaHead,

    /// <summary>Rows below a head of SLUB or CMA.</summary>
    HeadDetail,
    MemInfoHead,
    CpuLine,
    CpusetLine,
    PerCpuHead,
    PerCpuRow,
    Totals,
    NodeLine,
    ZoneLine,
    Reserve,
    FreeList,
    HugePages,
    Closing,
    TaskHead,
    TaskRow,
    OomKill,
    Killed,
    Reaper,
    CgroupUsage,
    CgroupStats,
    CgroupStatRow,
    SlabHead,
    SlabRow,
    Suppressed,
    Trace,
    MemInfoFile,

    /// <summary>Android's low memory killer.</summary>
    LowMemoryKiller,

    /// <summary><c>Node 0</c> alone: the beginning of a line that syslog took apart.</summary>
    NodeOnly,

    /// <summary>The rest of a zone or node line that a mailer broke.</summary>
    FigureTail,

    /// <summary>The rest of a line of free lists that a mailer broke.</summary>
    ListTail,
}

/// <summary>A line of a log without what programs put before it.</summary>
/// <param name="Number">Its number in the file, from 1.</param>
/// <param name="Text">The text.</param>
/// <param name="HasStamp">Whether it began a message of its own: it had a time or the name of a host.</param>
/// <param name="Caller">Who printed it, where the kernel says so (<c>T123</c>, <c>C0</c>); null otherwise.</param>
/// <param name="EndsWithBlank">Whether the text ended with a blank before it was trimmed.</param>
internal readonly record struct LogLine(long Number, string Text, bool HasStamp, string? Caller, bool EndsWithBlank);

/// <summary>One or several lines that belong together.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Text">The text.</param>
/// <param name="First">Number of the first line.</param>
/// <param name="Last">Number of the last one.</param>
/// <param name="Caller">Who printed it, where the kernel says so.</param>
internal readonly record struct LogicalLine(LineKind Kind, string Text, long First, long Last, string? Caller);
