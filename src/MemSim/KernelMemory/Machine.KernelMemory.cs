using MemSim.KernelMemory;

namespace MemSim;

/// <content>The kernel's own address space.</content>
public sealed partial class Machine
{
    private VmallocAllocator? _vmalloc;

    /// <summary>Where the parts of the kernel's address space lie.</summary>
    public KernelAddressSpace AddressSpace { get; private set; } = null!;

    /// <summary>vmalloc.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents of RAM.</exception>
    internal VmallocAllocator Vmalloc => NeedsContents(_vmalloc);
}
