namespace MemSim.Recordings;

/// <summary>Counts comparisons by kind and keeps the first few that fell short.</summary>
internal sealed class ReplayTally
{
    private const int MostMismatchesKept = 20;

    private readonly SortedDictionary<string, (long Matched, long Total)> _kinds = new(StringComparer.Ordinal);
    private readonly List<string> _mismatches = [];

    public string? FirstMismatch => _mismatches.Count != 0 ? _mismatches[0] : null;

    /// <summary>Counts one comparison; the text is only made when it fell short.</summary>
    public void Compare(string kind, bool equal, Func<string> describe)
    {
        _kinds.TryGetValue(kind, out (long Matched, long Total) count);
        _kinds[kind] = (count.Matched + (equal ? 1 : 0), count.Total + 1);
        if (!equal && _mismatches.Count < MostMismatchesKept)
        {
            _mismatches.Add($"{kind}: {describe()}");
        }
    }

    public ReplayResult ToResult(string name) =>
        new(name, [.. _kinds.Select(k => new ReplayCount(k.Key, k.Value.Matched, k.Value.Total))], [.. _mismatches]);
}

/// <summary>How many comparisons of one kind were made and how many were equal.</summary>
/// <param name="Kind">What was compared.</param>
/// <param name="Matched">Equal ones.</param>
/// <param name="Total">All.</param>
public sealed record ReplayCount(string Kind, long Matched, long Total);

/// <summary>What came of a replay.</summary>
/// <param name="Name">The recording.</param>
/// <param name="Counts">The comparisons by kind.</param>
/// <param name="Mismatches">The first few that were not equal, in order.</param>
public sealed record ReplayResult(string Name, IReadOnlyList<ReplayCount> Counts, IReadOnlyList<string> Mismatches)
{
    /// <summary>Equal comparisons of all kinds.</summary>
    public long Matched => Counts.Sum(c => c.Matched);

    /// <summary>Comparisons of all kinds.</summary>
    public long Total => Counts.Sum(c => c.Total);

    /// <summary>Whether everything was equal.</summary>
    public bool IsExact => Matched == Total;
}

/// <summary>A replay could not go on because the machine's state no longer fits the recording.</summary>
public sealed class ReplayDivergedException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What did not fit.</param>
    /// <param name="firstMismatch">The first comparison that fell short before; null when there was none.</param>
    /// <param name="state">The allocator's state around the place.</param>
    public ReplayDivergedException(string message, string? firstMismatch, string state)
        : base(message + (firstMismatch is null ? "" : $"\nfirst mismatch before: {firstMismatch}") + "\n" + state)
    {
        FirstMismatch = firstMismatch;
    }

    /// <summary>The first comparison that fell short before the replay stopped.</summary>
    public string? FirstMismatch { get; }
}
