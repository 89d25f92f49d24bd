namespace MemSim.Lru;

/// <summary>The LRU lists of a node (<c>enum lru_list</c>). <see cref="MachineReclaim.LruPages"/>.</summary>
public enum LruList
{
    /// <summary>Anonymous pages and shared memory, not used lately.</summary>
    InactiveAnon = 0,

    /// <summary>Anonymous pages and shared memory in use.</summary>
    ActiveAnon = 1,

    /// <summary>Pages of files, not used lately.</summary>
    InactiveFile = 2,

    /// <summary>Pages of files in use.</summary>
    ActiveFile = 3,

    /// <summary>Pages that reclaim must not look at. Only counted: they are in no list, so that <c>mlock_count</c> finds room in the frame (since 5.18).</summary>
    Unevictable = 4,
}
