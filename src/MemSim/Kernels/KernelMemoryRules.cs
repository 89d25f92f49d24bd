namespace MemSim.Kernels;

/// <summary>Kernel stacks and the kernel image, where kernels differ.</summary>
public sealed record KernelMemoryRules
{
    /// <summary>Where the four pages of a thread's stack come from and where they go.</summary>
    public ThreadStackRule ThreadStacks { get; init; }

    /// <summary>Whether freed address ranges of vmalloc stay apart and are kept by CPU for requests of the same length (since 6.9, <c>struct vmap_node</c>).</summary>
    public bool KeepsFreedRangesByCpu { get; init; }

    /// <summary>Whether the memory of SMP alternatives reaches its zone only after the figures were computed for the first time, like the init sections (7.1, 7.2).</summary>
    public bool FreesSmpAlternativesLate { get; init; }
}

/// <summary>The memory of thread stacks.</summary>
public enum ThreadStackRule
{
    /// <summary>Four single pages of the bulk allocator (until 6.19).</summary>
    SinglePages,

    /// <summary>A block of order 2, split; given back as four single pages (7.0, 7.1).</summary>
    BlockFreedAsPages,

    /// <summary>A block of order 2, split; given back as one block (7.2).</summary>
    BlockFreedWhole,
}
