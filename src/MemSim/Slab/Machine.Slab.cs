using MemSim.Slab;

namespace MemSim;

/// <content>The slab layer.</content>
public sealed partial class Machine
{
    /// <summary>The slab layer: object caches and kmalloc. It has no page until somebody asks for an object.</summary>
    public SlabAllocator Slab { get; private set; } = null!;

    private void BuildSlab(SlabParameters options)
    {
        Slab = new SlabAllocator(this, options);
        foreach (Cpu cpu in _cpus)
        {
            cpu.AttachSlab(Slab);
        }
    }

    private void VerifySlab()
    {
        if (Slab.IsUsed)
        {
            new SlabVerifier(Slab).Verify();
        }
    }
}
