namespace MemSim.Lru;

/// <summary>A mapping that can say that none of its pages may be evicted (<c>AS_UNEVICTABLE</c>: <c>SHM_LOCK</c>, ramfs).</summary>
internal interface IUnevictableMapping
{
    /// <summary>Whether its pages must stay in memory.</summary>
    bool IsUnevictable { get; }
}
