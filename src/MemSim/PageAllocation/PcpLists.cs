using System.Runtime.CompilerServices;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>Moves pages between per-CPU lists and the free lists: refill and drain in the kernel's order (6.1.192).</summary>
internal sealed class PcpLists
{
    /// <summary>The largest free factor (<c>CONFIG_PCP_BATCH_SCALE_MAX</c>).</summary>
    private const int MaxFreeFactor = 5;

    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly BuddyLists _buddy;
    private readonly Fallback _fallback;
    private readonly int _pageblockOrder;

    public PcpLists(Machine machine, FrameArray frames, BuddyLists buddy, Fallback fallback, int pageblockOrder)
    {
        _machine = machine;
        _frames = frames;
        _buddy = buddy;
        _fallback = fallback;
        _pageblockOrder = pageblockOrder;
    }

    /// <summary>Fills an empty list with a batch of blocks.</summary>
    /// <returns>Whether there was at least one.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public bool Refill(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags)
    {
        Zone zone = pcp.Zone;
        int head = pcp.FirstHead + PerCpuPages.ListIndex(order, type);
        int want = pcp.Batch > 1 ? Math.Max(pcp.Batch >> order, 2) : 1;
        int got = 0;
        pcp.Refills++;
        _machine.Lock(zone);
        while (got < want)
        {
            // A zone with CMA chooses between its own type and CMA first; the fallback rules know.
            int pfn = zone.HasCma ? -1 : _buddy.TakeSmallest(zone, order, type);
            if (pfn < 0)
            {
                pfn = _fallback.Take(cpu, zone, order, type, flags);
                if (pfn < 0)
                {
                    break;
                }
            }

            ref PageFrame frame = ref _frames[pfn];
            frame.State = PageFrame.PcpState;
            int cachedType = zone.HasCma && zone.BlockType(pfn) == (int)MigrateType.Cma ? (int)MigrateType.Cma : type;
            frame.Index = (uint)cachedType;
            _frames.AddLast(head, pfn);
            if (cachedType == (int)MigrateType.Cma)
            {
                zone.FreeCmaPagesCount -= 1 << order;
            }

            _machine.Trace?.MmPageAllocZoneLocked(cpu, pfn, order, (MigrateType)type, percpuRefill: true);
            got++;
        }

        zone.AddFreePages(pcp, -(got << order));
        _machine.Unlock(zone);
        pcp.Count += got << order;
        return got != 0;
    }

    /// <summary>After a free: drains when the lists have grown to their limit.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void TrimAfterFree(Cpu cpu, PerCpuPages pcp, int order, int listIndex)
    {
        // Freeing small blocks again and again means that they are not reused here: let them merge.
        bool all = pcp.FreeFactor != 0 && order is > 0 and <= PageGeometry.CostlyOrder;
        int high = all ? 0 : pcp.HighInForce;
        if (pcp.Count >= high)
        {
            Drain(cpu, pcp, all ? pcp.Count : DrainCount(pcp, high), listIndex);
        }
    }

    /// <summary>Gives pages back to the free lists: whole lists from the back, starting with one list and going on with the next higher.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="pcp">The lists.</param>
    /// <param name="pages">How many pages; a block may overshoot it.</param>
    /// <param name="listIndex">The list to start with.</param>
    public void Drain(Cpu cpu, PerCpuPages pcp, int pages, int listIndex)
    {
        Zone zone = pcp.Zone;
        int left = Math.Min(pages, pcp.Count);
        _machine.Lock(zone);
        while (left > 0)
        {
            int head = pcp.FirstHead + listIndex;
            int order = PerCpuPages.ListOrder(listIndex, _pageblockOrder);
            while (left > 0 && !_frames.IsEmpty(head))
            {
                int pfn = _frames[head].Prev;
                _frames.Remove(pfn);
                ref PageFrame frame = ref _frames[pfn];
                int type = (int)frame.Index;
                frame.State = 0;
                pcp.Count -= 1 << order;
                left -= 1 << order;
                if (zone.IsolatedPageblocks != 0)
                {
                    type = zone.BlockType(pfn);
                }

                _buddy.Free(zone, pcp, pfn, order, type);
                _machine.Trace?.MmPagePcpuDrain(cpu, pfn, order, (MigrateType)type);
            }

            listIndex = listIndex + 1 == PerCpuPages.Lists ? 0 : listIndex + 1;
        }

        _machine.Unlock(zone);
    }

    /// <summary>How many pages a drain gives back: the batch, doubled by each drain without an allocation in between.</summary>
    private static int DrainCount(PerCpuPages pcp, int high)
    {
        if (high < pcp.Batch)
        {
            return 1;
        }

        int most = high - pcp.Batch;
        int scaled = pcp.Batch << pcp.FreeFactor;
        if (scaled < most && pcp.FreeFactor < MaxFreeFactor)
        {
            pcp.FreeFactor++;
        }

        return Math.Min(Math.Max(scaled, pcp.Batch), most);
    }
}
