using MemSim.Tool.Json;

namespace MemSim.Tool.Recordings;

/// <summary>What came of a replay, of whatever kind the recording is.</summary>
internal sealed record RecordingOutcome(string Name, string Kind)
{
    /// <summary>The kernel whose rules were followed, e.g. <c>Linux 7.3</c>; empty where no rules were.</summary>
    public string Kernel { get; init; } = "";

    /// <summary>What the user must know about those rules.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Operations or events replayed.</summary>
    public long Operations { get; init; }

    /// <summary>How long it took, reading and comparing included.</summary>
    public double Seconds { get; init; }

    public long Matched { get; init; }

    public long Compared { get; init; }

    /// <summary>Of <see cref="Matched"/>, those of comparisons that must all be equal unless the user names a share.</summary>
    public long ExactMatched { get; init; }

    /// <summary>Of <see cref="Compared"/>, comparisons that must all be equal unless the user names a share.</summary>
    public long ExactCompared { get; init; }

    public IReadOnlyList<CountDocument> Counts { get; init; } = [];

    /// <summary>The first few comparisons that fell short.</summary>
    public IReadOnlyList<string> Mismatches { get; init; } = [];

    /// <summary>Why the replay could not go on to the end; null where it could.</summary>
    public string? StoppedAt { get; init; }

    /// <summary>The share that has to be equal unless the user says otherwise, in percent.</summary>
    public double AtLeastPercent { get; init; } = 100;

    /// <summary>The zones at the end.</summary>
    public IReadOnlyList<ZoneDocument> Zones { get; init; } = [];

    /// <summary>Text for people between the heading and the counts.</summary>
    public string Report { get; init; } = "";

    /// <summary>What only traces have.</summary>
    public TraceDocument? Trace { get; init; }

    /// <summary>Whether less is equal than has to be; a replay that stopped early always falls short, as does one that compared nothing where something is wanted.</summary>
    /// <param name="wanted">The share of everything compared that the user wants, in percent; null for what is usual.</param>
    public bool FallsShortOf(double? wanted) => wanted is double percent
        ? FallsShort(Matched, Compared, percent)
        : Compared == 0 || ExactMatched != ExactCompared || FallsShort(Matched - ExactMatched, Compared - ExactCompared, AtLeastPercent);

    /// <summary>A share in percent, rounded down: 100.00 means all.</summary>
    public static string PercentText(long matched, long compared) =>
        (compared == 0 ? 100 : Math.Floor(10000.0 * matched / compared) / 100).ToString("F2", System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>The outcome for machines.</summary>
    /// <param name="percent">The share the user wants; null for what is usual.</param>
    public RecordingDocument ToDocument(double? percent) => new(
        Name,
        Kind,
        Kernel,
        Warnings,
        Operations,
        Math.Round(Seconds, 4),
        Seconds > 0 ? Math.Round(Operations / Seconds) : 0,
        Matched,
        Compared,
        percent ?? AtLeastPercent,
        FallsShortOf(percent),
        Counts,
        Mismatches,
        StoppedAt,
        Zones,
        Trace);

    private bool FallsShort(long matched, long compared, double percent) =>
        StoppedAt is not null || (compared == 0 && percent > 0) || (percent >= 100 ? matched != compared : compared != 0 && 100.0 * matched / compared < percent);
}
