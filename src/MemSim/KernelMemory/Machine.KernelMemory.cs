namespace MemSim;

/// <content>The kernel's own address space.</content>
public sealed partial class Machine
{
    /// <summary>Where the parts of the kernel's address space lie.</summary>
    public KernelAddressSpace AddressSpace { get; private set; } = null!;
}
