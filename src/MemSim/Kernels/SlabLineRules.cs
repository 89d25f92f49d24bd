namespace MemSim.Kernels;

/// <summary>What slab caches do where kernels differ.</summary>
public sealed record SlabLineRules
{
    /// <summary>Whether the order of a cache's slabs follows from the objects wanted alone (6.7 and later), or fewer objects are tried before more waste.</summary>
    public bool OrderIgnoresFewerObjects { get; init; }
}
