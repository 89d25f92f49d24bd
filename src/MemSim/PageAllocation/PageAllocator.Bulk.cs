using System.Runtime.CompilerServices;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>Many single pages at once (<c>alloc_pages_bulk()</c>, <c>free_unref_page_list()</c>) and blocks split into single pages.</summary>
internal sealed partial class PageAllocator
{
    /// <summary>Fills the null entries of an array with single pages from one zone's per-CPU list.</summary>
    /// <returns>How many entries of the array hold a page now; may be fewer than its length.</returns>
    public int AllocateBulk(Cpu cpu, Gfp gfp, Span<Page> pages)
    {
        int filled = 0;
        while (filled < pages.Length && !pages[filled].IsNull)
        {
            filled++;
        }

        int want = pages.Length - filled;
        if (want == 0)
        {
            return filled;
        }

        _machine.ThrowIfDisposed();
        if (!_machine.Bugs.CheckRequest(cpu, gfp, 0))
        {
            return filled;
        }

        gfp = InContext(cpu, gfp);
        Zonelist[] zonelists = (gfp & Gfp.ThisNode) != 0 ? cpu.Node.ThisNodeZonelists : cpu.Lists.Zonelists;
        Request request = new(cpu, zonelists[(int)(gfp & Gfp.ZoneMask)], gfp, 0);

        // The kernel asks for room for the whole array, filled entries included.
        // Pages that somebody pays for are not taken in bulk.
        bool charged = (gfp & Gfp.Account) != 0 && _hooks.Charges is not null;
        Zone? zone = want > 1 && !charged ? ZoneForBulk(request, pages.Length) : null;
        int got = 0;
        if (want > 1 && _hooks.FaultInjector.FailsPages(cpu, gfp, 0))
        {
            return SkipFilled(pages, filled);
        }

        if (zone is not null)
        {
            got = TakeBulk(request, zone, pages, filled);
        }

        if (got == 0)
        {
            int pfn = Allocate(cpu, gfp, 0);
            if (pfn >= 0)
            {
                pages[filled++] = new Page(_machine, pfn);
                filled = SkipFilled(pages, filled);
            }

            return filled;
        }

        return SkipFilled(pages, filled + got);
    }

    /// <summary>Frees single pages that passed the checks, in order, after all page block types were read.</summary>
    public void FreeList(Cpu cpu, ReadOnlySpan<Page> pages)
    {
        // Types first: draining while freeing could otherwise show a later page another type than the kernel saw.
        foreach (Page page in pages)
        {
            PrepareListed(cpu, page.FrameIndex);
        }

        foreach (Page page in pages)
        {
            FreePrepared(cpu, page.FrameIndex);
        }
    }

    /// <summary>The first half of freeing a single page as part of a list: its page block's type is read now.</summary>
    public void PrepareListed(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        frame.Index = (uint)cpu.Lists.Pcp[frame.ZoneId].Zone.BlockType(pfn);
        _hooks.Trace?.MmPageFree(cpu, pfn, 0);
        _hooks.Charges?.Uncharge(cpu, pfn);
        ZeroFreed(pfn, 0);
    }

    /// <summary>The second half: the page goes to the per-CPU list of the type read before.</summary>
    public void FreePrepared(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        _hooks.Trace?.MmPageFreeBatched(cpu, pfn);
        if (_poisoned.Count != 0 && FreeAroundPoisoned(cpu.Lists.Pcp[frame.ZoneId], pfn, 0))
        {
            return;
        }

        FreeToPcp<ObservedPath>(cpu, cpu.Lists.Pcp[frame.ZoneId], ref frame, pfn, 0, (int)frame.Index);
    }

    /// <summary>Frees single pages that passed the checks, chained by <see cref="PageFrame.Next"/>, after all page block types were read.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="first">The first page.</param>
    /// <param name="end">What the last one has as its next.</param>
    public void FreeChain(Cpu cpu, int first, int end)
    {
        if (_parallel || LimitsMove || _hooks.WatchesFrees || _poisoned.Count != 0)
        {
            for (int pfn = first; pfn != end; pfn = _frames[pfn].Next)
            {
                PrepareListed(cpu, pfn);
            }

            for (int pfn = first; pfn != end;)
            {
                int next = _frames[pfn].Next;
                if (next == end)
                {
                    // A block that it becomes part of at once keeps what stands here, and no link leads out of the memory map.
                    _frames[pfn].Next = 0;
                }

                FreePrepared(cpu, pfn);
                pfn = next;
            }

            return;
        }

        FrameArray frames = _frames;
        PerCpuPages[] lists = cpu.Lists.Pcp;
        for (int pfn = first; pfn != end;)
        {
            ref PageFrame frame = ref frames[pfn];
            frame.Index = (uint)lists[frame.ZoneId].Zone.BlockType(pfn);
            pfn = frame.Next;
        }

        for (int pfn = first; pfn != end;)
        {
            ref PageFrame frame = ref frames[pfn];
            int next = frame.Next;
            FreeToPcp<PlainPath>(cpu, lists[frame.ZoneId], ref frame, pfn, 0, (int)frame.Index);
            pfn = next;
        }
    }

    /// <summary>Makes every frame of an allocated block a single allocated page (<c>split_page()</c>); no list changes.</summary>
    public void Split(int pfn, int order)
    {
        int zone = _frames[pfn].ZoneId;
        for (int i = pfn; i < pfn + (1 << order); i++)
        {
            ref PageFrame frame = ref _frames[i];
            frame.Identity = PageFrame.ZoneBits(zone);
            frame.State = PageFrame.SinglePageState;
            frame.Mapping = 0;
        }

        _hooks.OwnerTracker?.Split(pfn, order);
        _hooks.Charges?.Split(pfn, 1 << order, 1);
    }

    /// <summary>The first zone that stays above its low watermark even after the whole request.</summary>
    private static Zone? ZoneForBulk(in Request request, int want)
    {
        AllocFlags flags = AllocFlags.WatermarkLow | CmaRight(request);
        Zone? preferred = request.Preferred;
        foreach (Zone zone in request.Zonelist.Zones)
        {
            if (zone.Node != preferred!.Node)
            {
                return null;
            }

            // The reserve is that against the first usable zone, not the highest of the request.
            if (WatermarkCheck.Passes(zone, 0, zone.MarkLow + zone.Boost + want, preferred.Index, flags, request.Gfp))
            {
                return zone;
            }
        }

        return null;
    }

    private static int SkipFilled(ReadOnlySpan<Page> pages, int index)
    {
        while (index < pages.Length && !pages[index].IsNull)
        {
            index++;
        }

        return index;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FinishBulkPage(in Request request, int pfn)
    {
        if ((request.Gfp & Gfp.Zero) != 0 || _hooks.ZeroesOnAlloc)
        {
            _machine.Ram.Zero(pfn, 1);
        }

        _hooks.Trace?.BulkPage(request.Cpu, pfn, (MigrateType)request.Type, request.Gfp);
    }

    private int TakeBulk(in Request request, Zone zone, Span<Page> pages, int index)
    {
        Cpu cpu = request.Cpu;
        PerCpuPages pcp = cpu.Lists.Pcp[zone.Id];
        AllocFlags flags = AllocFlags.WatermarkLow | CmaRight(request);
        int got = 0;
        if (_parallel)
        {
            pcp.Lock.Enter();
        }

        int list = pcp.FirstHead + PerCpuPages.ListIndex(0, request.Type);
        FrameArray frames = _frames;
        bool finish = (request.Gfp & Gfp.Zero) != 0 || _hooks.ZeroesOnAlloc || _hooks.Trace is not null;
        while ((index = SkipFilled(pages, index)) < pages.Length && (!frames.IsEmpty(list) || _pcpLists.Refill(cpu, pcp, 0, request.Type, flags)))
        {
            // Unlinked as one run: only the ends of the list are written.
            int before = got;
            int pfn = frames[list].Next;
            while (pfn != list && index < pages.Length)
            {
                if (pages[index].IsNull)
                {
                    ref PageFrame frame = ref frames[pfn];
                    frame.State = PageFrame.SinglePageState;
                    pages[index] = new Page(_machine, pfn);
                    if (finish)
                    {
                        FinishBulkPage(request, pfn);
                    }

                    pfn = frame.Next;
                    got++;
                }

                index++;
            }

            frames[list].Next = pfn;
            frames[pfn].Prev = list;
            pcp.Count -= got - before;
        }

        if (_parallel)
        {
            pcp.Lock.Exit();
        }

        pcp.PagesAllocated += got;
        pcp.NumaHit += got;
        return got;
    }
}
