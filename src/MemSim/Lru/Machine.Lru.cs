using MemSim.Lru;

namespace MemSim;

/// <content>LRU lists and those who own pages.</content>
public sealed partial class Machine
{
    /// <summary>The LRU lists.</summary>
    internal LruManager Lru { get; private set; } = null!;
}
