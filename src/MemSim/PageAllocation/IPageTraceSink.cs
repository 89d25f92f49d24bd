namespace MemSim;

/// <summary>Receives the page allocator's tracepoints (<c>kmem:mm_page_*</c>) with the fields of Linux 6.1.</summary>
/// <remarks>Called in the allocator's hot paths, on the thread that drives the CPU; must not call back into the machine. A frame number of -1 means a failed allocation.</remarks>
public interface IPageTraceSink : ITraceSink
{
    /// <summary><c>mm_page_alloc</c>: a block was allocated, or (pfn -1) could not be. The migrate type is the one asked for.</summary>
    void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp);

    /// <summary><c>mm_page_free</c>: a block is being freed.</summary>
    void MmPageFree(Cpu cpu, long pfn, int order);

    /// <summary><c>mm_page_free_batched</c>: a page of a list is being freed; an <see cref="MmPageFree"/> for it came before.</summary>
    void MmPageFreeBatched(Cpu cpu, long pfn);

    /// <summary><c>mm_page_alloc_zone_locked</c>: a block left the free lists, for a per-CPU list or for the requester.</summary>
    void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill);

    /// <summary><c>mm_page_pcpu_drain</c>: a block of a per-CPU list went back to the free lists.</summary>
    void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType);

    /// <summary><c>mm_page_alloc_extfrag</c>: a request took a block of another migrate type.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="pfn">The first frame of the block found.</param>
    /// <param name="allocOrder">The order asked for.</param>
    /// <param name="fallbackOrder">The order of the block found.</param>
    /// <param name="allocType">The type asked for.</param>
    /// <param name="fallbackType">The type of the list the block was found in.</param>
    /// <param name="changeOwnership">Whether the page block changed its type.</param>
    void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership);
}
