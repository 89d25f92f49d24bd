using MemSim.Zones;

namespace MemSim;

/// <summary>The rarer calls of the page allocator. <see cref="Cpu.Pages"/>; those of every day are on the CPU itself.</summary>
public sealed class CpuPages
{
    private readonly Cpu _cpu;

    internal CpuPages(Cpu cpu) => _cpu = cpu;

    /// <summary>Allocates a block on a node, falling back to others by distance unless <see cref="Gfp.ThisNode"/> is given (<c>alloc_pages_node()</c>).</summary>
    /// <param name="node">The node's number.</param>
    /// <param name="gfp">What the allocation may do and where it may look.</param>
    /// <param name="order">log2 of the number of pages.</param>
    /// <returns>The first page of the block, or a null page.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The machine has no such node.</exception>
    public Page AllocPagesNode(int node, Gfp gfp, int order = 0)
    {
        int pfn = _cpu.Allocator.AllocateNear(_cpu, gfp, order, _cpu.Machine.GetNode(node));
        return pfn < 0 ? default : new Page(_cpu.Machine, pfn);
    }

    /// <summary>Fills the null entries of an array with single pages (<c>alloc_pages_bulk_array()</c>).</summary>
    /// <param name="gfp">What the allocation may do and where it may look.</param>
    /// <param name="pages">Receives the pages; entries that hold a page already are left alone.</param>
    /// <returns>How many leading entries hold a page afterwards; may be fewer than the length even when memory is free.</returns>
    public int AllocPagesBulk(Gfp gfp, Span<Page> pages) => _cpu.Allocator.AllocateBulk(_cpu, gfp, pages);

    /// <summary>Allocates a block and returns its address in the direct map (<c>__get_free_pages()</c>).</summary>
    /// <param name="gfp">What the allocation may do; <see cref="Gfp.HighMem"/> is not allowed, since high memory has no permanent address.</param>
    /// <param name="order">log2 of the number of pages.</param>
    /// <returns>The address, or the null address.</returns>
    /// <exception cref="KernelBugException">High memory was asked for.</exception>
    public VirtualAddress GetFreePages(Gfp gfp, int order = 0)
    {
        if ((gfp & Gfp.HighMem) != 0)
        {
            _cpu.Machine.Bugs.IllegalFlags(_cpu, gfp, "__get_free_pages() returns an address, and high memory has none: use AllocPages and Kmap");
            return default;
        }

        Page page = _cpu.AllocPages(gfp, order);
        return page.IsNull ? default : page.Address;
    }

    /// <summary>Allocates a page and returns its address (<c>__get_free_page()</c>).</summary>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address, or the null address.</returns>
    public VirtualAddress GetFreePage(Gfp gfp) => GetFreePages(gfp, 0);

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
            _cpu.Machine.Bugs.IllegalFlags(_cpu, gfp, "alloc_pages_exact() splits its block: neither a compound page nor high memory can be had");
            return default;
        }

        long pages = PagesFor(bytes);
        int order = pages > 1 ? System.Numerics.BitOperations.Log2((ulong)(pages - 1)) + 1 : 0;
        Page first = _cpu.AllocPages(gfp, order);
        if (first.IsNull)
        {
            return default;
        }

        SplitPage(first, order);
        for (long i = pages; i < 1L << order; i++)
        {
            _cpu.FreePages(new Page(_cpu.Machine, first.FrameIndex + (int)i), 0);
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

        Page first = _cpu.Machine.Bugs.PageAt(_cpu, address, "free_pages_exact");
        if (first.IsNull || !_cpu.Machine.Bugs.CheckContext(_cpu))
        {
            return;
        }

        // No more than one block was allocated: a size beyond that is found out at the first page too many.
        int pages = (int)Math.Min(PagesFor(bytes), (1L << PageGeometry.MaxOrder) + 1);
        for (int i = 0; i < pages; i++)
        {
            if (!_cpu.Machine.Frames.IsAllocatedHead(first.FrameIndex + i, 0) || i >> PageGeometry.MaxOrder != 0)
            {
                Page wrong = new(_cpu.Machine, (int)Math.Min(first.FrameIndex + i, _cpu.Machine.Frames.Count - 1));
                _cpu.Machine.Bugs.BadFree(_cpu, wrong, 0, "free_pages_exact (more pages than a block has)");
                return;
            }
        }

        for (int i = 0; i < pages; i++)
        {
            _cpu.FreePages(new Page(_cpu.Machine, first.FrameIndex + i), 0);
        }
    }

    /// <summary>Frees single pages as one list, which costs less than one by one (<c>free_unref_page_list()</c>).</summary>
    /// <param name="pages">The pages, in order; all must be single allocated pages, else none is freed.</param>
    /// <exception cref="KernelBugException">One of them cannot be freed; the machine is unchanged.</exception>
    public void FreePagesBulk(ReadOnlySpan<Page> pages)
    {
        _cpu.Machine.ThrowIfDisposed();
        if (!_cpu.Machine.Bugs.CheckContext(_cpu))
        {
            return;
        }

        for (int i = 0; i < pages.Length; i++)
        {
            if (!_cpu.Machine.Frames.MayFree(pages[i], 0))
            {
                _cpu.Allocator.FreeChecked(_cpu, pages[i], 0);
                return;
            }
        }

        if (HasDuplicates(pages, out Page twice))
        {
            _cpu.Machine.Bugs.BadFree(_cpu, twice, 0, "free_unref_page_list (the page is in the list twice)");
            return;
        }

        _cpu.Allocator.FreeList(_cpu, pages);
    }

    /// <summary>Takes another reference to an allocated page or compound page (<c>get_page()</c>).</summary>
    /// <param name="page">The page; of a compound page any.</param>
    /// <exception cref="KernelBugException">The page is free.</exception>
    public void GetPage(Page page)
    {
        Page head = _cpu.Machine.Bugs.AllocatedHead(_cpu, page, "get_page");
        if (!head.IsNull)
        {
            _cpu.Machine.Frames.AddReferences(head.FrameIndex, 1);
        }
    }

    /// <summary>Drops a reference; the last one frees the page or compound page (<c>put_page()</c>).</summary>
    /// <param name="page">The page; of a compound page any.</param>
    /// <exception cref="KernelBugException">The page is free, or it is the last reference to a block that is no compound page.</exception>
    public void PutPage(Page page)
    {
        Page head = _cpu.Machine.Bugs.AllocatedHead(_cpu, page, "put_page");
        if (head.IsNull)
        {
            return;
        }

        int order = head.Order;
        if (_cpu.Machine.Frames.TryDropReference(head.FrameIndex))
        {
            return;
        }

        if (order > 0 && !head.IsCompound)
        {
            _cpu.Machine.Bugs.BadFree(_cpu, head, 0, "put_page (last reference to a block that is not a compound page: only its order would tell how much to free)");
        }
        else
        {
            _cpu.FreePages(head, order);
        }
    }

    /// <summary>Turns an allocated block into single pages that are freed one by one (<c>split_page()</c>).</summary>
    /// <param name="page">The first page of the block.</param>
    /// <param name="order">The order as allocated.</param>
    /// <exception cref="KernelBugException">The page is not the first of an allocated block of this order, or it is a compound page.</exception>
    public void SplitPage(Page page, int order)
    {
        if (page.IsNull || !_cpu.Machine.Frames.MayFree(page, order) || page.IsCompound)
        {
            _cpu.Machine.Bugs.BadFree(_cpu, page, order, "split_page");
            return;
        }

        _cpu.Allocator.Split(page.FrameIndex, order);
    }

    /// <summary>The page behind an address of the direct map (<c>virt_to_page()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <exception cref="KernelBugException">The address does not belong to the direct map of this machine.</exception>
    public Page VirtToPage(VirtualAddress address) => _cpu.Machine.Bugs.PageAt(_cpu, address, "virt_to_page");

    /// <summary>Gives the pages in this CPU's lists of every zone back to the free lists (<c>drain_local_pages()</c>).</summary>
    public void DrainLocalPages()
    {
        _cpu.Machine.ThrowIfDisposed();
        foreach (PerCpuPages pcp in _cpu.Lists.Pcp)
        {
            _cpu.Allocator.DrainAll(_cpu, pcp);
        }
    }

    /// <summary>Gives the pages in this CPU's lists of one zone back to the free lists.</summary>
    /// <param name="zone">The zone.</param>
    public void DrainLocalPages(Zone zone)
    {
        ArgumentNullException.ThrowIfNull(zone);
        _cpu.Machine.ThrowIfDisposed();
        _cpu.Allocator.DrainAll(_cpu, _cpu.Machine.ZoneTable.Owned(zone).Pcp[_cpu.Id]);
    }

    /// <summary>Gives up to a batch of pages of this CPU's lists of one zone back to the free lists (<c>drain_zone_pages()</c>).</summary>
    /// <param name="zone">The zone.</param>
    public void DrainZonePages(Zone zone)
    {
        ArgumentNullException.ThrowIfNull(zone);
        _cpu.Machine.ThrowIfDisposed();
        _cpu.Allocator.DrainBatch(_cpu, _cpu.Machine.ZoneTable.Owned(zone).Pcp[_cpu.Id]);
    }

    private static long PagesFor(long bytes) => ((bytes - 1) >> PageGeometry.PageShift) + 1;

    private bool HasDuplicates(ReadOnlySpan<Page> pages, out Page twice)
    {
        // Marks each page while walking, then takes the marks back: no memory needed however long the list.
        twice = default;
        int marked = 0;
        for (; marked < pages.Length; marked++)
        {
            if (!_cpu.Machine.Frames.TryMark(pages[marked].FrameIndex))
            {
                twice = pages[marked];
                break;
            }
        }

        for (int i = 0; i < marked; i++)
        {
            _cpu.Machine.Frames.Unmark(pages[i].FrameIndex);
        }

        return !twice.IsNull;
    }
}

/// <content>The rarer calls of the page allocator: bulks, nodes, exact sizes, references, draining.</content>
public sealed partial class Cpu
{
    /// <summary>The rarer calls of the page allocator: bulks, nodes, exact sizes, references, draining.</summary>
    public CpuPages Pages { get; internal set; } = null!;
}
