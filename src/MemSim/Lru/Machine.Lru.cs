using MemSim.Lru;

namespace MemSim;

/// <content>LRU lists and those who own pages.</content>
public sealed partial class Machine
{
    private readonly Lock _lruCreation = new();
    private LruManager? _lru;

    /// <summary>The LRU lists, made when first asked for.</summary>
    internal LruManager Lru => Volatile.Read(ref _lru) ?? MakeLru();

    /// <summary>The LRU lists if they were ever used.</summary>
    internal LruManager? LruIfUsed => _lru;

    /// <summary>Who answers for mapped and cached pages; null until address spaces are used.</summary>
    internal IPageOwners? Owners { get; set; }

    private LruManager MakeLru()
    {
        ThrowIfDisposed();
        lock (_lruCreation)
        {
            return _lru ??= new LruManager(this, _memMap);
        }
    }
}
