namespace MemSim.Slab;

/// <summary>What the boot was told about slabs (<c>slub_debug=</c>, <c>slab_nomerge</c> and their like); null where nothing was said.</summary>
/// <param name="Allocator">The implementation, <c>slub</c> or <c>slab</c>.</param>
/// <param name="Debug">What <c>slub_debug=</c> says.</param>
/// <param name="NoMerge">Whether caches stay apart.</param>
/// <param name="MinObjects">Objects a slab should hold.</param>
/// <param name="MinOrder">log2 of the pages of the smallest slab.</param>
/// <param name="MaxOrder">log2 of the pages of the largest slab.</param>
/// <param name="ClassicMaxOrder">The same for the classic implementation.</param>
internal sealed record SlabParameters(string? Allocator = null, string? Debug = null, bool NoMerge = false, int? MinObjects = null, int? MinOrder = null, int? MaxOrder = null, int? ClassicMaxOrder = null)
{
    public static SlabParameters Default { get; } = new();
}
