namespace MemSim;

/// <content>The slab layer.</content>
public sealed partial class Machine
{
    /// <summary>The slab layer: object caches and kmalloc. It has no page until somebody asks for an object.</summary>
    public SlabAllocator Slab { get; private set; } = null!;
}
