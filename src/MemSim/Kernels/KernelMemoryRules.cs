namespace MemSim.Kernels;

/// <summary>Kernel stacks, areas of vmalloc, the kernel image and swap areas, where kernels differ.</summary>
public sealed record KernelMemoryRules
{
    /// <summary>Where the four pages of a thread's stack, and with them those of all areas of vmalloc, come from and where they go. Only stacks were recorded.</summary>
    public ThreadStackRule ThreadStacks { get; init; }

    /// <summary>Whether freed address ranges of vmalloc stay apart and are kept by CPU for requests of the same length (since 6.9, <c>struct vmap_node</c>).</summary>
    public bool KeepsFreedRangesByCpu { get; init; }

    /// <summary>Whether the memory of SMP alternatives reaches its zone only after the figures were computed for the first time, like the init sections (7.1, 7.2).</summary>
    public bool FreesSmpAlternativesLate { get; init; }

    /// <summary>Whether swap areas switched on without a priority share one, -1, and are filled in turn (7.3); before, each is one below the one before, from -2 on.</summary>
    public bool SwapAreasShareAPriority { get; init; }
}

/// <summary>The memory of thread stacks and other areas of vmalloc.</summary>
public enum ThreadStackRule
{
    /// <summary>Four single pages of the bulk allocator (until 6.19).</summary>
    SinglePages,

    /// <summary>A block of order 2 (of other areas the largest that fit, one after the other), had without reclaim and split; given back as single pages (7.0, 7.1).</summary>
    BlockFreedAsPages,

    /// <summary>The same, given back as one block with an event for each page (7.2).</summary>
    BlockFreedWhole,
}
