using MemSim.Slab;

namespace MemSim;

/// <content>The table of caches.</content>
public sealed partial class SlabAllocator
{
    /// <summary>The parameters the layer was made with.</summary>
    internal SlabParameters Options { get; }

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
