namespace MemSim.Lru;

/// <summary>What a swappiness means to reclaim by generations: 0 takes only pages of files, 1 those first, 200 anonymous ones first, and more than that only those.</summary>
internal static class Swappiness
{
    /// <summary>The largest that can be set (<c>MAX_SWAPPINESS</c>).</summary>
    public const int Max = 200;

    /// <summary>Anonymous pages only (<c>SWAPPINESS_ANON_ONLY</c>).</summary>
    public const int AnonOnly = 201;

    /// <summary>Whether a kind of page (0 anonymous, 1 of files) may be evicted.</summary>
    public static bool Evicts(int kind, int swappiness) => kind == 0 ? swappiness != 0 : swappiness <= Max;
}
