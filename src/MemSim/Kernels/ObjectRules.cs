using System.Collections.Immutable;

namespace MemSim.Kernels;

/// <summary>The kernel's own objects, where kernels differ: by the name of their cache in 6.1.</summary>
public sealed record ObjectRules
{
    /// <summary>Bytes of an object on x86-64, where they are not those of 6.1.</summary>
    public ImmutableDictionary<string, int> Bytes { get; init; } = ImmutableDictionary<string, int>.Empty;

    /// <summary>What a cache is called, where it has another name than in 6.1.</summary>
    public ImmutableDictionary<string, string> Names { get; init; } = ImmutableDictionary<string, string>.Empty;

    /// <summary>Caches whose objects' memory stays typed while readers may still look at them, unlike in 6.1, aligned to cache lines.</summary>
    public ImmutableSortedSet<string> FreedWithRcu { get; init; } = ImmutableSortedSet<string>.Empty;

    /// <summary>Caches that keep the pointer to the next free object inside objects that are freed with RCU, not behind them.</summary>
    public ImmutableSortedSet<string> FreePointerInside { get; init; } = ImmutableSortedSet<string>.Empty;

    /// <summary>Objects in a sheaf, for the caches that ask for a number.</summary>
    public ImmutableDictionary<string, int> SheafCapacities { get; init; } = ImmutableDictionary<string, int>.Empty;

    /// <summary>With other sizes for some caches.</summary>
    /// <param name="sizes">Name of a cache and bytes of its objects.</param>
    internal ObjectRules WithBytes(params ReadOnlySpan<(string Cache, int Bytes)> sizes)
    {
        ImmutableDictionary<string, int>.Builder bytes = Bytes.ToBuilder();
        foreach ((string cache, int size) in sizes)
        {
            bytes[cache] = size;
        }

        return this with { Bytes = bytes.ToImmutable() };
    }
}
