using System.Numerics;

namespace MemSim.KernelMemory;

/// <content>Where the pages of areas come from and go to, which kernels differ in.</content>
internal sealed partial class VmallocAllocator
{
    /// <summary>Gets the pages, high memory first where the caller has no limit: nobody needs a vmalloc page at a fixed address.</summary>
    private bool Populate(Cpu cpu, VmArea area, int pages, Gfp gfp, int node)
    {
        gfp |= Gfp.NoWarn;
        if ((gfp & (Gfp.Dma | Gfp.Dma32)) == 0)
        {
            gfp |= Gfp.HighMem;
        }

        if (_takesBlocks)
        {
            PopulateInBlocks(cpu, area, pages, gfp, node);
        }

        bool bulk = node < 0;
        while (bulk && area.Count < pages)
        {
            int want = Math.Min(LargestBulk, pages - area.Count);
            int got = cpu.Pages.AllocPagesBulk(gfp & ~Gfp.NoFail, area.Pages.AsSpan(area.Count, want));
            area.Count += got;
            bulk = got == want;
        }

        while (area.Count < pages)
        {
            Page page = node < 0 ? cpu.AllocPages(gfp) : cpu.Pages.AllocPagesNode(node, gfp);
            if (page.IsNull)
            {
                return false;
            }

            area.Pages[area.Count++] = page;
        }

        return true;
    }

    /// <summary>The largest block that fits, without reclaim, then the largest that fits in the rest; each split. What is not to be had so is left to be had page by page.</summary>
    private void PopulateInBlocks(Cpu cpu, VmArea area, int pages, Gfp gfp, int node)
    {
        Gfp patient = gfp & ~(Gfp.DirectReclaim | Gfp.NoFail);
        int largest = PageGeometry.MaxOrder;
        while (area.Count < pages)
        {
            int order = Math.Min(largest, BitOperations.Log2((uint)(pages - area.Count)));
            if (order == 0)
            {
                return;
            }

            Page block = node < 0 ? cpu.AllocPages(patient, order) : cpu.Pages.AllocPagesNode(node, patient, order);
            if (block.IsNull)
            {
                largest = order - 1;
                continue;
            }

            cpu.Pages.SplitPage(block, order);
            for (int i = 0; i < 1 << order; i++)
            {
                area.Pages[area.Count++] = new Page(_machine, block.FrameIndex + i);
            }
        }
    }

    /// <summary>Gives the pages back: one by one, or aligned runs as the blocks they make.</summary>
    private void FreeOwned(Cpu cpu, VmArea area)
    {
        ReadOnlySpan<Page> pages = area.Mapped;
        while (!pages.IsEmpty)
        {
            int order = _freesBlocks ? BlockAt(pages) : 0;
            if (order == 0)
            {
                cpu.FreePages(pages[0]);
            }
            else
            {
                _machine.Pages.FreeJoined(cpu, pages[0].FrameIndex, order);
            }

            pages = pages[(1 << order)..];
        }
    }

    /// <summary>log2 of the pages at the front that follow each other in one zone, begin on a multiple of their number and can be freed.</summary>
    private int BlockAt(ReadOnlySpan<Page> pages)
    {
        int first = pages[0].FrameIndex;
        int order = Math.Min(PageGeometry.MaxOrder, Math.Min(BitOperations.TrailingZeroCount(first), BitOperations.Log2((uint)pages.Length)));
        int run = 0;
        while (run < 1 << order && pages[run].FrameIndex == first + run && ReferenceEquals(pages[run].Zone, pages[0].Zone) && _machine.Frames.MayFree(pages[run], 0))
        {
            run++;
        }

        return run == 0 ? 0 : BitOperations.Log2((uint)run);
    }
}
