namespace MemSim.PageCache;

/// <summary>An area of an address space that maps part of a file: what the file's <c>i_mmap</c> tree holds.</summary>
internal interface IMappedArea
{
    /// <summary>The first page of the file that it maps (<c>vm_pgoff</c>).</summary>
    uint StartIndex { get; }

    /// <summary>How many pages it maps.</summary>
    long Pages { get; }

    /// <summary>Whether writes go to the file (<c>VM_SHARED</c>).</summary>
    bool IsShared { get; }

    /// <summary>Whether somebody could write to the file through it, now or once it is made writable (<c>vma_is_shared_maywrite()</c>).</summary>
    bool MayWriteFile { get; }

    /// <summary>Takes the file's pages in a range of indexes out of the area's page tables, dropping their references (<c>unmap_mapping_range()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="first">The first index.</param>
    /// <param name="last">The last index; the area clips the range to itself.</param>
    /// <param name="evenCopies">Whether private copies of pages go as well: truncation, but not invalidation.</param>
    void UnmapFileRange(Cpu cpu, uint first, uint last, bool evenCopies);

    /// <summary>Makes the entry of one page clean and, in a shared area, read-only, so that the next write faults (<c>page_mkclean_one()</c>).</summary>
    /// <returns>Whether the entry was dirty or writable.</returns>
    bool CleanFilePage(Cpu cpu, uint index, int pfn);
}
