using System.Runtime.CompilerServices;
using MemSim.PageAllocation;
using MemSim.Zones;

namespace MemSim;

/// <content>The page allocator's calls.</content>
public sealed partial class Cpu
{
    /// <summary>This CPU's page lists by the machine's zone number.</summary>
    internal PerCpuPages[] Pcp = [];

    /// <summary>The lists most frees go to: those of the first zone of an ordinary request.</summary>
    internal PerCpuPages HomePcp = null!;

    /// <summary>Where requests made here look first, by their low four flag bits.</summary>
    internal FirstChoice[] Choices = [];

    /// <summary>The zones searched for a request made here, by its low four flag bits.</summary>
    internal Zonelist[] Zonelists = [];

    internal PageAllocator Pages = null!;

    /// <summary>Allocates a block of 2^<paramref name="order"/> contiguous frames (<c>alloc_pages()</c>).</summary>
    /// <param name="gfp">What the allocation may do and where it may look.</param>
    /// <param name="order">log2 of the number of pages, 0 to <see cref="PageGeometry.MaxOrder"/>; a larger one fails.</param>
    /// <returns>The first page of the block with one reference; <see cref="Page.IsNull"/> when there is no memory for this request.</returns>
    /// <exception cref="KernelBugException">The flags contradict each other, the order is negative, or the request may sleep and the context may not.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Page AllocPages(Gfp gfp, int order = 0)
    {
        int pfn = Pages.Allocate(this, gfp, order);
        return pfn < 0 ? default : new Page(Machine, pfn);
    }

    /// <summary>Allocates a single page (<c>alloc_page()</c>).</summary>
    /// <param name="gfp">What the allocation may do and where it may look.</param>
    /// <returns>The page, or a null page.</returns>
    public Page AllocPage(Gfp gfp) => AllocPages(gfp, 0);

    /// <summary>Allocates a block on a node, falling back to others by distance unless <see cref="Gfp.ThisNode"/> is given (<c>alloc_pages_node()</c>).</summary>
    /// <param name="node">The node's number.</param>
    /// <param name="gfp">What the allocation may do and where it may look.</param>
    /// <param name="order">log2 of the number of pages.</param>
    /// <returns>The first page of the block, or a null page.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The machine has no such node.</exception>
    public Page AllocPagesNode(int node, Gfp gfp, int order = 0)
    {
        int pfn = Pages.AllocateChecked(this, gfp, order, Machine.GetNode(node));
        return pfn < 0 ? default : new Page(Machine, pfn);
    }

    /// <summary>Fills the null entries of an array with single pages (<c>alloc_pages_bulk_array()</c>).</summary>
    /// <param name="gfp">What the allocation may do and where it may look.</param>
    /// <param name="pages">Receives the pages; entries that hold a page already are left alone.</param>
    /// <returns>How many leading entries hold a page afterwards; may be fewer than the length even when memory is free.</returns>
    public int AllocPagesBulk(Gfp gfp, Span<Page> pages) => Pages.AllocateBulk(this, gfp, pages);

    /// <summary>Allocates a block and returns its address in the direct map (<c>__get_free_pages()</c>).</summary>
    /// <param name="gfp">What the allocation may do; <see cref="Gfp.HighMem"/> is not allowed, since high memory has no permanent address.</param>
    /// <param name="order">log2 of the number of pages.</param>
    /// <returns>The address, or the null address.</returns>
    /// <exception cref="KernelBugException">High memory was asked for.</exception>
    public VirtualAddress GetFreePages(Gfp gfp, int order = 0)
    {
        if ((gfp & Gfp.HighMem) != 0)
        {
            Machine.Bugs.IllegalFlags(this, gfp, "__get_free_pages() returns an address, and high memory has none: use AllocPages and Kmap");
            return default;
        }

        Page page = AllocPages(gfp, order);
        return page.IsNull ? default : page.Address;
    }

    /// <summary>Allocates a page and returns its address (<c>__get_free_page()</c>).</summary>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address, or the null address.</returns>
    public VirtualAddress GetFreePage(Gfp gfp) => GetFreePages(gfp, 0);

    /// <summary>Allocates a page full of zeroes and returns its address (<c>get_zeroed_page()</c>).</summary>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address, or the null address.</returns>
    public VirtualAddress GetZeroedPage(Gfp gfp) => GetFreePages(gfp | Gfp.Zero, 0);

    /// <summary>Allocates just enough pages for a number of bytes, giving the rest of the block back (<c>alloc_pages_exact()</c>).</summary>
    /// <param name="bytes">The size; more than the largest block fails.</param>
    /// <param name="gfp">What the allocation may do; <see cref="Gfp.Comp"/> and <see cref="Gfp.HighMem"/> make no sense here.</param>
    /// <returns>The address of the first page, or the null address. Free it with <see cref="FreePagesExact"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The size is 0 or negative.</exception>
    public VirtualAddress AllocPagesExact(long bytes, Gfp gfp)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes);
        if ((gfp & (Gfp.Comp | Gfp.HighMem)) != 0)
        {
            Machine.Bugs.IllegalFlags(this, gfp, "alloc_pages_exact() splits its block: neither a compound page nor high memory can be had");
            return default;
        }

        long pages = PagesFor(bytes);
        int order = pages > 1 ? System.Numerics.BitOperations.Log2((ulong)(pages - 1)) + 1 : 0;
        Page first = AllocPages(gfp, order);
        if (first.IsNull)
        {
            return default;
        }

        SplitPage(first, order);
        for (long i = pages; i < 1L << order; i++)
        {
            FreePages(new Page(Machine, first.FrameIndex + (int)i), 0);
        }

        return first.Address;
    }

    /// <summary>Frees what <see cref="AllocPagesExact"/> returned (<c>free_pages_exact()</c>).</summary>
    /// <param name="address">The address; the null address is ignored.</param>
    /// <param name="bytes">The size as allocated.</param>
    public void FreePagesExact(VirtualAddress address, long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes);
        if (address.IsNull)
        {
            return;
        }

        Page first = Machine.Bugs.PageAt(this, address, "free_pages_exact");
        if (first.IsNull || !Machine.Bugs.CheckContext(this))
        {
            return;
        }

        // No more than one block was allocated: a size beyond that is found out at the first page too many.
        int pages = (int)Math.Min(PagesFor(bytes), (1L << PageGeometry.MaxOrder) + 1);
        for (int i = 0; i < pages; i++)
        {
            if (!Machine.IsAllocatedHead(first.FrameIndex + i, 0) || i >> PageGeometry.MaxOrder != 0)
            {
                Page wrong = new(Machine, (int)Math.Min(first.FrameIndex + i, Machine.FrameCount - 1));
                Machine.Bugs.BadFree(this, wrong, 0, "free_pages_exact (more pages than a block has)");
                return;
            }
        }

        for (int i = 0; i < pages; i++)
        {
            FreePages(new Page(Machine, first.FrameIndex + i), 0);
        }
    }

    /// <summary>Frees a block (<c>__free_pages()</c>).</summary>
    /// <param name="page">Its first page; a null page is ignored.</param>
    /// <param name="order">The order as allocated.</param>
    /// <exception cref="KernelBugException">The page is not the first of an allocated block of this order with one reference, is mapped, or is in use by a subsystem.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void FreePages(Page page, int order = 0)
    {
        if (!Pages.TryFree(this, page, order))
        {
            FreeChecked(page, order);
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

    /// <summary>Frees single pages as one list, which costs less than one by one (<c>free_unref_page_list()</c>).</summary>
    /// <param name="pages">The pages, in order; all must be single allocated pages, else none is freed.</param>
    /// <exception cref="KernelBugException">One of them cannot be freed; the machine is unchanged.</exception>
    public void FreePagesBulk(ReadOnlySpan<Page> pages)
    {
        Machine.ThrowIfDisposed();
        if (!Machine.Bugs.CheckContext(this))
        {
            return;
        }

        for (int i = 0; i < pages.Length; i++)
        {
            if (!Machine.MayFree(pages[i], 0))
            {
                FreeChecked(pages[i], 0);
                return;
            }
        }

        if (HasDuplicates(pages, out Page twice))
        {
            Machine.Bugs.BadFree(this, twice, 0, "free_unref_page_list (the page is in the list twice)");
            return;
        }

        Pages.FreeList(this, pages);
    }

    /// <summary>Takes another reference to an allocated page or compound page (<c>get_page()</c>).</summary>
    /// <param name="page">The page; of a compound page any.</param>
    /// <exception cref="KernelBugException">The page is free.</exception>
    public void GetPage(Page page)
    {
        Page head = Machine.Bugs.AllocatedHead(this, page, "get_page");
        if (!head.IsNull)
        {
            Machine.AddReferences(head.FrameIndex, 1);
        }
    }

    /// <summary>Drops a reference; the last one frees the page or compound page (<c>put_page()</c>).</summary>
    /// <param name="page">The page; of a compound page any.</param>
    /// <exception cref="KernelBugException">The page is free, or it is the last reference to a block that is no compound page.</exception>
    public void PutPage(Page page)
    {
        Page head = Machine.Bugs.AllocatedHead(this, page, "put_page");
        if (head.IsNull)
        {
            return;
        }

        int order = head.Order;
        if (Machine.TryDropReference(head.FrameIndex))
        {
            return;
        }

        if (order > 0 && !head.IsCompound)
        {
            Machine.Bugs.BadFree(this, head, 0, "put_page (last reference to a block that is not a compound page: only its order would tell how much to free)");
        }
        else
        {
            FreePages(head, order);
        }
    }

    /// <summary>Turns an allocated block into single pages that are freed one by one (<c>split_page()</c>).</summary>
    /// <param name="page">The first page of the block.</param>
    /// <param name="order">The order as allocated.</param>
    /// <exception cref="KernelBugException">The page is not the first of an allocated block of this order, or it is a compound page.</exception>
    public void SplitPage(Page page, int order)
    {
        if (page.IsNull || !Machine.MayFree(page, order) || page.IsCompound)
        {
            Machine.Bugs.BadFree(this, page, order, "split_page");
            return;
        }

        Pages.Split(page.FrameIndex, order);
    }

    /// <summary>The address of a page in the direct map (<c>page_address()</c>); null for high memory that is not mapped.</summary>
    /// <param name="page">The page.</param>
    public static VirtualAddress PageAddress(Page page) => page.Address;

    /// <summary>The page behind an address of the direct map (<c>virt_to_page()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <exception cref="KernelBugException">The address does not belong to the direct map of this machine.</exception>
    public Page VirtToPage(VirtualAddress address) => Machine.Bugs.PageAt(this, address, "virt_to_page");

    /// <summary>Gives the pages in this CPU's lists of every zone back to the free lists (<c>drain_local_pages()</c>).</summary>
    public void DrainLocalPages()
    {
        Machine.ThrowIfDisposed();
        foreach (PerCpuPages pcp in Pcp)
        {
            Pages.DrainAll(this, pcp);
        }
    }

    /// <summary>Gives the pages in this CPU's lists of one zone back to the free lists.</summary>
    /// <param name="zone">The zone.</param>
    public void DrainLocalPages(Zone zone)
    {
        ArgumentNullException.ThrowIfNull(zone);
        Machine.ThrowIfDisposed();
        Pages.DrainAll(this, Machine.Owned(zone).Pcp[Id]);
    }

    /// <summary>Gives up to a batch of pages of this CPU's lists of one zone back to the free lists (<c>drain_zone_pages()</c>).</summary>
    /// <param name="zone">The zone.</param>
    public void DrainZonePages(Zone zone)
    {
        ArgumentNullException.ThrowIfNull(zone);
        Machine.ThrowIfDisposed();
        Pages.DrainBatch(this, Machine.Owned(zone).Pcp[Id]);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeChecked(Page page, int order)
    {
        if (page.IsNull)
        {
            return;
        }

        Machine.ThrowIfDisposed();
        if (!Machine.MayFree(page, order))
        {
            Machine.Bugs.BadFree(this, page, order, "__free_pages");
        }
        else if (Machine.Bugs.CheckContext(this))
        {
            Pages.FreeBlock(this, page.FrameIndex, order);
        }
    }

    private static long PagesFor(long bytes) => ((bytes - 1) >> PageGeometry.PageShift) + 1;

    private bool HasDuplicates(ReadOnlySpan<Page> pages, out Page twice)
    {
        // Marks each page while walking, then takes the marks back: no memory needed however long the list.
        twice = default;
        int marked = 0;
        for (; marked < pages.Length; marked++)
        {
            if (!Machine.TryMark(pages[marked].FrameIndex))
            {
                twice = pages[marked];
                break;
            }
        }

        for (int i = 0; i < marked; i++)
        {
            Machine.Unmark(pages[i].FrameIndex);
        }

        return !twice.IsNull;
    }
}
