namespace MemSim.Swap;

/// <summary>What is known of a node of the swap cache's tree: 64 slots of an area.</summary>
internal struct SwapCacheNode
{
    /// <summary>Pages of the cache below it.</summary>
    public byte Pages;

    /// <summary>Shadows below it.</summary>
    public byte Shadows;

    /// <summary>Whether it is on the list of those with shadows alone.</summary>
    public bool IsListed;

    /// <summary>The number of the zone whose node it is counted at.</summary>
    public ushort Zone;

    /// <summary>The one listed before it, plus one; 0 for none.</summary>
    public int Previous;

    /// <summary>The one listed after it, plus one; 0 for none.</summary>
    public int Next;
}
