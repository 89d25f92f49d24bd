using System.Diagnostics;

namespace MemSim.Lru;

/// <summary>What became of the pages of a kind, by tier: evicted, missed again soon, protected from eviction. The controller that finds out which tiers, and which kind, can be evicted.</summary>
/// <remarks>
/// Refaults of the first tier are the set point; a tier is evicted along with it while its own refaults are not proportionally more. Sums fade by half with each
/// generation. Names and arithmetic of <c>struct ctrl_pos</c>.
/// </remarks>
internal sealed class TierCounts
{
    /// <summary>Tiers of a generation (<c>MAX_NR_TIERS</c>).</summary>
    public const int Tiers = 4;

    private readonly long[] _averageRefaulted = new long[Tiers];
    private readonly long[] _averageTotal = new long[Tiers];
    private readonly long[] _refaulted = new long[Tiers];
    private readonly long[] _evicted = new long[Tiers];
    private readonly long[] _protected = new long[Tiers];

    public ReadOnlySpan<long> AverageRefaulted => _averageRefaulted;

    public ReadOnlySpan<long> AverageTotal => _averageTotal;

    public ReadOnlySpan<long> Refaulted => _refaulted;

    public ReadOnlySpan<long> Evicted => _evicted;

    public ReadOnlySpan<long> Protected => _protected;

    public void CountEvicted(int tier, long pages) => Count(_evicted, tier, pages);

    public void CountRefaulted(int tier, long pages) => Count(_refaulted, tier, pages);

    public void CountProtected(int tier, long pages) => Count(_protected, tier, pages);

    /// <summary>The oldest generation is gone: its figures go into the averages.</summary>
    public void Fade()
    {
        for (int tier = 0; tier < Tiers; tier++)
        {
            _averageRefaulted[tier] = (_averageRefaulted[tier] + _refaulted[tier]) / 2;
            _averageTotal[tier] = (_averageTotal[tier] + _evicted[tier] + _protected[tier]) / 2;
        }

        Array.Clear(_refaulted);
        Array.Clear(_evicted);
        Array.Clear(_protected);
    }

    /// <summary>The figures of one tier, or with <see cref="Tiers"/> those of all.</summary>
    public ControlPosition Position(int tier, int gain)
    {
        long refaulted = 0;
        long total = 0;
        int first = tier % Tiers;
        int last = Math.Min(tier, Tiers - 1);
        for (int i = first; i <= last; i++)
        {
            refaulted += _averageRefaulted[i] + _refaulted[i];
            total += _averageTotal[i] + _evicted[i] + _protected[i];
        }

        return new ControlPosition(refaulted, total, gain);
    }

    private static void Count(long[] counts, int tier, long pages)
    {
        Debug.Assert(tier is >= 0 and < Tiers && pages > 0, "pages of a tier");
        counts[tier] += pages;
    }
}

/// <summary>A set point, or what is compared with it.</summary>
/// <param name="Refaulted">Pages that were missed.</param>
/// <param name="Total">Pages that were evicted or protected.</param>
/// <param name="Gain">What a refault weighs.</param>
internal readonly record struct ControlPosition(long Refaulted, long Total, int Gain)
{
    private const long Few = LruGenerations.MinBatch;

    /// <summary>Whether there are few refaults, or proportionally not more than at a set point.</summary>
    public bool IsWithin(in ControlPosition setPoint) =>
        Refaulted < Few || (Int128)Refaulted * (setPoint.Total + Few) * setPoint.Gain <= (Int128)(setPoint.Refaulted + 1) * Total * Gain;
}
