using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Address spaces.</content>
public sealed partial class Machine
{
    /// <summary>What all address spaces share; null on a machine without contents of RAM, which can have none.</summary>
    internal AddressSpaces? Mm { get; private set; }
}
