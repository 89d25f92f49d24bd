namespace MemSim;

/// <summary>How page frame numbers lead to page frames' descriptors.</summary>
public enum MemoryModel
{
    /// <summary>One array for all frames of the machine, holes included (Debian's 32-bit x86 kernels).</summary>
    Flat = 0,

    /// <summary>A virtual array of which only the 128 MiB sections with memory are backed (64-bit kernels).</summary>
    SparseVmemmap = 1,
}
