namespace MemSim.Lru;

/// <summary>The LRU lists of a node (<c>enum lru_list</c>).</summary>
internal enum LruList
{
    InactiveAnon = 0,
    ActiveAnon = 1,
    InactiveFile = 2,
    ActiveFile = 3,

    /// <summary>Pages that reclaim must not look at. Only counted: they are in no list, so that <c>mlock_count</c> finds room in the frame (since 5.18).</summary>
    Unevictable = 4,
}
