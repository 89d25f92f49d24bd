namespace MemSim.Faults;

/// <summary>Who asked to be told of the use of a page, by taking its entry's rights away (<c>do_numa_page()</c>).</summary>
internal interface IHintFaults
{
    /// <summary>A page was used; its entry has its rights again. The page may be moved meanwhile.</summary>
    /// <param name="cpu">The CPU that used it.</param>
    /// <param name="vma">The area.</param>
    /// <param name="address">The page's address; the first one of a huge page.</param>
    /// <param name="pfn">The page; the first one of a huge page.</param>
    /// <param name="pages">Small pages in it.</param>
    void Used(Cpu cpu, Vma vma, ulong address, int pfn, int pages);
}
