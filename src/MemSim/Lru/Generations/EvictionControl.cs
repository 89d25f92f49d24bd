using MemSim.Kernels;

namespace MemSim.Lru;

/// <summary>Decides what eviction takes: which kind of pages, and how many of its tiers, so that refaults stay in proportion (the controller of the multi-generational LRU).</summary>
internal sealed class EvictionControl(ReclaimRules rules)
{
    private readonly TierCounts[] _tiers = [new(), new()];

    /// <summary>The figures of a kind.</summary>
    public TierCounts Of(int kind) => _tiers[kind];

    /// <summary>Which kind to take from (<c>get_type_to_scan()</c>), with the last tier to evict where that is decided at once.</summary>
    /// <param name="swappiness">What anonymous pages are given, 0 to 201.</param>
    /// <param name="anonIsOlder">Whether the oldest generation has anonymous pages only.</param>
    /// <param name="tier">The last tier; -1 where it is not decided yet.</param>
    public int KindToScan(int swappiness, bool anonIsOlder, out int tier)
    {
        tier = -1;
        if (rules.Eviction == EvictionStep.Batch)
        {
            if (swappiness == 0)
            {
                return 1;
            }

            if (anonIsOlder || swappiness >= Swappiness.Max)
            {
                return 0;
            }

            if (swappiness == 1)
            {
                return 1;
            }

            ControlPosition anon = _tiers[0].Position(0, swappiness);
            int kind = _tiers[1].Position(0, Swappiness.Max - swappiness).IsWithin(anon) ? 1 : 0;
            tier = LastTier(kind, Gain(kind, swappiness), _tiers[1 - kind].Position(0, Gain(1 - kind, swappiness)));
            return kind;
        }

        if (swappiness <= 1)
        {
            return 1;
        }

        return swappiness >= Swappiness.Max || !_tiers[1].Position(TierCounts.Tiers, Swappiness.Max - swappiness).IsWithin(_tiers[0].Position(TierCounts.Tiers, swappiness)) ? 0 : 1;
    }

    /// <summary>The last tier of a kind that may be evicted along with the first (<c>get_tier_idx()</c>).</summary>
    public int LastTier(int kind)
    {
        bool wide = rules.Tiers == AccessTiers.WithWorkingSet;
        return LastTier(kind, wide ? 3 : 2, _tiers[kind].Position(0, wide ? 2 : 1));
    }

    private int LastTier(int kind, int gain, in ControlPosition setPoint)
    {
        int tier = 1;
        while (tier < TierCounts.Tiers && _tiers[kind].Position(tier, gain).IsWithin(setPoint))
        {
            tier++;
        }

        return tier - 1;
    }

    private static int Gain(int kind, int swappiness) => kind == 0 ? swappiness : Swappiness.Max - swappiness;
}
