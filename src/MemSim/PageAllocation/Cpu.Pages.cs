using System.Runtime.CompilerServices;
using MemSim.PageAllocation;
using MemSim.Zones;

namespace MemSim;

/// <content>The page allocator's calls.</content>
public sealed partial class Cpu
{
    /// <summary>The CPU's page lists and zonelists.</summary>
    internal CpuPageLists Lists = new();

    internal PageAllocator Allocator = null!;

    /// <summary>Allocates a block of 2^<paramref name="order"/> contiguous frames (<c>alloc_pages()</c>).</summary>
    /// <param name="gfp">What the allocation may do and where it may look.</param>
    /// <param name="order">log2 of the number of pages, 0 to <see cref="PageGeometry.MaxOrder"/>; a larger one fails.</param>
    /// <returns>The first page of the block with one reference; <see cref="Page.IsNull"/> when there is no memory for this request.</returns>
    /// <exception cref="KernelBugException">The flags contradict each other, the order is negative, or the request may sleep and the context may not.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Page AllocPages(Gfp gfp, int order = 0)
    {
        int pfn = Allocator.Allocate(this, gfp, order);
        return pfn < 0 ? default : new Page(Machine, pfn);
    }

    /// <summary>Allocates a single page (<c>alloc_page()</c>).</summary>
    /// <param name="gfp">What the allocation may do and where it may look.</param>
    /// <returns>The page, or a null page.</returns>
    public Page AllocPage(Gfp gfp) => AllocPages(gfp, 0);

    /// <summary>Allocates a page full of zeroes and returns its address (<c>get_zeroed_page()</c>).</summary>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address, or the null address.</returns>
    public VirtualAddress GetZeroedPage(Gfp gfp) => Pages.GetFreePages(gfp | Gfp.Zero, 0);

    /// <summary>Frees a block (<c>__free_pages()</c>).</summary>
    /// <param name="page">Its first page; a null page is ignored.</param>
    /// <param name="order">The order as allocated.</param>
    /// <exception cref="KernelBugException">The page is not the first of an allocated block of this order with one reference, is mapped, or is in use by a subsystem.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void FreePages(Page page, int order = 0)
    {
        if (!Allocator.TryFree(this, page, order))
        {
            Allocator.FreeChecked(this, page, order);
        }
    }

    /// <summary>Frees a block by its address in the direct map (<c>free_pages()</c>).</summary>
    /// <param name="address">The address of its first byte; the null address is ignored.</param>
    /// <param name="order">The order as allocated.</param>
    /// <exception cref="KernelBugException">The address is not that of a block of this order.</exception>
    public void FreePages(VirtualAddress address, int order = 0)
    {
        if (!address.IsNull)
        {
            FreePages(Machine.Bugs.PageAt(this, address, "free_pages"), order);
        }
    }

    /// <summary>Frees a single page (<c>__free_page()</c>).</summary>
    /// <param name="page">The page; a null page is ignored.</param>
    public void FreePage(Page page) => FreePages(page, 0);

    /// <summary>Frees a single page by its address (<c>free_page()</c>).</summary>
    /// <param name="address">The address; the null address is ignored.</param>
    public void FreePage(VirtualAddress address) => FreePages(address, 0);
}
