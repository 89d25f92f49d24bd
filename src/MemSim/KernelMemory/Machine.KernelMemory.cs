using MemSim.KernelMemory;

namespace MemSim;

/// <content>The kernel's own address space.</content>
public sealed partial class Machine
{
    private readonly Lock _kernelMemoryCreation = new();
    private KernelAddressSpace? _addressSpace;
    private VmallocAllocator? _vmalloc;

    /// <summary>Where the parts of the kernel's address space lie.</summary>
    public KernelAddressSpace AddressSpace => _addressSpace ??= new KernelAddressSpace(this, _mmuOptions.FiveLevels);

    /// <summary>Why the last vmalloc or vmap failed, as the kernel's warning says it; null when none did.</summary>
    public string? LastVmallocFailure => _vmalloc?.LastFailure;

    /// <summary>vmalloc, made with the MMU when first asked for.</summary>
    internal VmallocAllocator Vmalloc => Volatile.Read(ref _vmalloc) ?? MakeVmalloc();

    /// <summary>vmalloc if it was ever used.</summary>
    internal VmallocAllocator? VmallocIfUsed => _vmalloc;

    private VmallocAllocator MakeVmalloc()
    {
        ThrowIfDisposed();
        _ = Mmu;
        lock (_kernelMemoryCreation)
        {
            return _vmalloc ??= new VmallocAllocator(this);
        }
    }
}
