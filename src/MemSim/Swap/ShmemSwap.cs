using MemSim.Filesystems;
using MemSim.Lru;
using MemSim.PageCache;

namespace MemSim.Swap;

/// <summary>Shared memory in swap: its trees keep the entries.</summary>
internal sealed class ShmemSwap(SwapSpace swap) : IShmemSwap, ISwapUser, ISwapNeighbours
{
    ulong ISwapNeighbours.ReadAhead { get; set; }

    bool ISwapNeighbours.HasAddresses => false;

    public PageOutOutcome SwapOut(Cpu cpu, ShmemMapping mapping, int pfn)
    {
        const int cacheAndCaller = 2;
        if (swap.Machine.Frames.Array[pfn].RefCount != cacheAndCaller)
        {
            return PageOutOutcome.Keep;
        }

        SwapEntry entry = swap.MoveToCache(cpu, pfn);
        if (entry.IsNone)
        {
            return PageOutOutcome.Activate;
        }

        mapping.ReplaceBySwapEntry(cpu, pfn, entry.Word);
        swap.Machine.Frames.AddReferences(pfn, -1);
        return swap.PageOut(cpu, pfn);
    }

    public Errno SwapIn(Cpu cpu, ShmemMapping mapping, uint index, long entry, out int pfn)
    {
        SwapEntry from = SwapEntry.FromWord((int)entry);
        SwapInOutcome outcome = swap.SwapIn(cpu, from, this, (ulong)index << PageGeometry.PageShift, out pfn);
        if (pfn < 0)
        {
            return outcome switch { SwapInOutcome.NoMemory => Errno.ENOMEM, SwapInOutcome.Failed => Errno.EIO, _ => Errno.EAGAIN };
        }

        if (swap.MoveFromCache(cpu, mapping, pfn, index, from))
        {
            return Errno.None;
        }

        swap.Machine.Lru.Put(cpu, pfn);
        pfn = -1;
        return Errno.EAGAIN;
    }

    public bool IsInCache(long entry) => swap.CachedPage(SwapEntry.FromWord((int)entry)) >= 0;

    public void Free(Cpu cpu, long entry) => swap.FreeWithCache(cpu, SwapEntry.FromWord((int)entry));

    public void CountEntries(SwapCensus census)
    {
        foreach (FileMapping mapping in swap.Machine.Files.PageCache.Mappings)
        {
            uint index = 0;
            while (mapping.IsShmem && mapping.FindNextValue(ref index, out long value))
            {
                census.Add(SwapEntry.FromWord((int)value));
                if (index++ == uint.MaxValue)
                {
                    break;
                }
            }
        }
    }

    public Errno Unuse(Cpu cpu, SwapArea area)
    {
        IReadOnlyList<FileMapping> mappings = swap.Machine.Files.PageCache.Mappings;
        for (int i = 0; i < mappings.Count; i++)
        {
            if (mappings[i] is ShmemMapping mapping)
            {
                Errno error = Unuse(cpu, area, mapping);
                if (error != Errno.None)
                {
                    return error;
                }
            }
        }

        return Errno.None;
    }

    (ulong Start, ulong End) ISwapNeighbours.Around(ulong address) => (address, address);

    SwapEntry ISwapNeighbours.EntryAt(ulong address) => default;

    int ISwapNeighbours.AllocatePage(Cpu cpu, ulong address) => swap.Machine.Pages.Allocate(cpu, Gfp.HighUserMovable, 0);

    private Errno Unuse(Cpu cpu, SwapArea area, ShmemMapping mapping)
    {
        uint index = 0;
        while (mapping.FindNextValue(ref index, out long value))
        {
            if (SwapEntry.FromWord((int)value).Type == area.Type)
            {
                Errno error = SwapIn(cpu, mapping, index, value, out int pfn);
                if (error is not (Errno.None or Errno.EAGAIN))
                {
                    return error;
                }

                if (pfn >= 0)
                {
                    swap.Machine.Lru.Put(cpu, pfn);
                }
            }

            if (index++ == uint.MaxValue)
            {
                break;
            }
        }

        return Errno.None;
    }
}
