using MemSim.Slab;

namespace MemSim;

/// <content>What a snapshot needs to copy the slab layer (<see cref="SlabImage"/>).</content>
public sealed partial class SlabAllocator
{
    /// <summary>The parameters the layer was made with.</summary>
    internal SlabParameters Options { get; }

    /// <summary>Numbers given to caches so far, those destroyed since included.</summary>
    internal int IdCount => _ids;

    /// <summary>Where the shuffling of free lists stands, as a copy; a cache's order never changes.</summary>
    internal (ulong Random, Dictionary<int, ushort[]> Orders) ShuffleState => (_random, new Dictionary<int, ushort[]>(_orders));

    /// <summary>The cache of a number, as another machine has it: one of the layer's own, or made anew.</summary>
    internal KmemCache Adopt(int id, string name, int objectSize, CacheLayout layout, ObjectConstructor? constructor, (int Offset, int Size) user, bool refusesAliases, bool asksForSheaves)
    {
        if (id < _ids && _byId[id] is { } own)
        {
            return own;
        }

        KmemCache cache = new(this, id, name, objectSize, layout, constructor, user.Offset, user.Size) { RefusesAliases = refusesAliases, AsksForSheaves = asksForSheaves };
        Backend.Open(cache);
        Register(cache);
        return cache;
    }

    /// <summary>Says that all caches of another machine were adopted.</summary>
    internal void Adopted(int ids, ulong random, Dictionary<int, ushort[]> orders)
    {
        _ids = ids;
        Reserve(ids);
        _random = random;
        foreach ((int id, ushort[] order) in orders)
        {
            _orders[id] = order;
        }

        foreach (KmemCache cache in _caches)
        {
            foreach (string alias in cache.Aliases)
            {
                _byName[alias] = cache;
            }
        }
    }

    private void Register(KmemCache cache)
    {
        Reserve(cache.Id + 1);
        _byId[cache.Id] = cache;
        _ids = Math.Max(_ids, cache.Id + 1);
        _caches.Add(cache);
        _byName.Add(cache.Name, cache);
    }

    private void Reserve(int ids)
    {
        if (ids > _byId.Length)
        {
            // A new array: another CPU may be reading the old one.
            KmemCache?[] larger = new KmemCache?[Math.Max(ids, 2 * _byId.Length)];
            _byId.CopyTo(larger, 0);
            Volatile.Write(ref _byId, larger);
        }
    }
}
