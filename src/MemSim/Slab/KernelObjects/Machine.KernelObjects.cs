using MemSim.Slab;

namespace MemSim;

/// <content>Objects of the kernel that processes and files need.</content>
public sealed partial class Machine
{
    internal KernelObjects KernelObjects { get; private set; } = null!;
}
