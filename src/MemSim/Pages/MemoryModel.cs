namespace MemSim;

/// <summary>How page frame numbers lead to page frames' descriptors.</summary>
public enum MemoryModel
{
    /// <summary>One array for all frames of the machine, holes included (Debian's 32-bit x86 kernels).</summary>
    Flat = 0,

    /// <summary>A virtual array of which only the 128 MiB sections with memory are backed (64-bit kernels).</summary>
    SparseVmemmap = 1,

    /// <summary>An array for each 128 MiB section with memory, found by a table of sections (SPARSEMEM without <c>SPARSEMEM_VMEMMAP</c>): no page tables for it, and a look-up more in <c>pfn_to_page()</c>. 64-bit kernels only.</summary>
    Sparse = 2,

    /// <summary>An array for each node, from its first frame to its last (DISCONTIGMEM, until 5.13; the <c>node_mem_map</c> of the textbooks).</summary>
    Discontiguous = 3,
}

/// <summary>What memory models have in common.</summary>
internal static class MemoryModels
{
    /// <summary>Whether frames have their descriptors section by section.</summary>
    public static bool HasSections(this MemoryModel model) => model is MemoryModel.SparseVmemmap or MemoryModel.Sparse;
}
