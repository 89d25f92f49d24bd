using MemSim.Lru;

namespace MemSim;

/// <content>LRU lists and those who own pages.</content>
public sealed partial class Machine
{
    /// <summary>Who reclaims pages that are named.</summary>
    internal IPageOut PageOut { get; private set; } = null!;

    /// <summary>The LRU lists.</summary>
    internal LruManager Lru { get; private set; } = null!;

    /// <summary>Who answers for mapped and cached pages.</summary>
    internal IPageOwners Owners { get; set; } = null!;
}
