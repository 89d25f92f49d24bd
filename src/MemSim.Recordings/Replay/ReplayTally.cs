namespace MemSim.Recordings;

/// <summary>Counts comparisons by kind and keeps the first few that fell short.</summary>
internal sealed class ReplayTally
{
    private const int MostMismatchesKept = 20;

    private readonly List<Kind> _kinds = [];
    private readonly List<string> _mismatches = [];

    public string? FirstMismatch => _mismatches.Count != 0 ? _mismatches[0] : null;

    /// <summary>Whether the next comparison that falls short is described in the result.</summary>
    public bool KeepsMismatches => _mismatches.Count < MostMismatchesKept;

    /// <summary>Counts one comparison; the text is only made when it fell short.</summary>
    public void Compare(string kind, bool equal, Func<string> describe)
    {
        if (!IsEqual(kind, equal) && KeepsMismatches)
        {
            AddMismatch(kind, describe());
        }
    }

    /// <summary>Counts one comparison of many: who calls describes it with <see cref="AddMismatch"/>, so that nothing is captured for those that are equal.</summary>
    /// <returns><paramref name="equal"/>.</returns>
    public bool IsEqual(string kind, bool equal)
    {
        Kind count = CountOf(kind);
        count.Total++;
        count.Matched += equal ? 1 : 0;
        return equal;
    }

    /// <summary>Counts comparisons of a kind that were equal.</summary>
    public void AddEqual(string kind, int comparisons)
    {
        Kind count = CountOf(kind);
        count.Total += comparisons;
        count.Matched += comparisons;
    }

    /// <summary>Keeps the description of a comparison that fell short, if there is room for one.</summary>
    public void AddMismatch(string kind, string description)
    {
        if (KeepsMismatches)
        {
            _mismatches.Add($"{kind}: {description}");
        }
    }

    private Kind CountOf(string kind)
    {
        // There are few, and who asks often asks with the same object.
        foreach (Kind known in _kinds)
        {
            if (ReferenceEquals(known.Name, kind))
            {
                return known;
            }
        }

        Kind? count = _kinds.Find(k => k.Name == kind);
        if (count is null)
        {
            count = new Kind(kind);
            _kinds.Add(count);
        }

        return count;
    }

    public ReplayResult ToResult(string name) =>
        new(name, [.. _kinds.OrderBy(k => k.Name, StringComparer.Ordinal).Select(k => new ReplayCount(k.Name, k.Matched, k.Total))], [.. _mismatches]);

    private sealed class Kind(string name)
    {
        public string Name { get; } = name;

        public long Matched { get; set; }

        public long Total { get; set; }
    }
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
