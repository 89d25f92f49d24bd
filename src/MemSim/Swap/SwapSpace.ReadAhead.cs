using MemSim.Statistics;
using MemSim.Swap;

namespace MemSim;

/// <content>Read-ahead: by neighbouring addresses on solid-state devices, by neighbouring slots as soon as one device rotates.</content>
public sealed partial class SwapSpace
{
    private const int FirstHits = 4;
    private const int WindowShift = PageGeometry.PageShift / 2;
    private const int HitsMask = (1 << WindowShift) - 1;
    private const ulong LowBits = PageGeometry.PageSize - 1;

    // Windows by addresses end here, whatever page-cluster says.
    private const int LargestOrder64 = 5;
    private const int LargestOrder32 = 3;

    // Windows by slots: hits since the last miss, and that miss.
    private int _hits = FirstHits;
    private long _previousSlot;
    private int _previousWindow;

    /// <summary>Reads the page of an entry and a window of others around it (<c>swapin_readahead()</c>).</summary>
    private SwapInOutcome ReadAround(Cpu cpu, SwapArea area, SwapEntry entry, ISwapNeighbours near, ulong address, out int pfn)
    {
        _reads.End();
        SwapInOutcome ahead = near.HasAddresses && _rotating == 0
            ? ReadByAddress(cpu, entry, near, address)
            : ReadBySlot(cpu, area, entry, near, address);
        _reads.End();
        if (ahead == SwapInOutcome.Read)
        {
            // What was read sits in this CPU's batch: the fault must not see that as somebody's use.
            Machine.Lru.Drain(cpu);
        }

        SwapInOutcome outcome = ReadIntoCache(cpu, entry, near, address, out pfn);

        // The window has read the page itself already.
        return outcome == SwapInOutcome.Found && ahead == SwapInOutcome.Read ? SwapInOutcome.Read : outcome;
    }

    private SwapInOutcome ReadByAddress(Cpu cpu, SwapEntry entry, ISwapNeighbours near, ulong address)
    {
        int order = Math.Min(Machine.Settings.Sysctls.PageCluster, Machine.Architecture.Bits == 64 ? LargestOrder64 : LargestOrder32);
        if (order == 0)
        {
            return SwapInOutcome.Gone;
        }

        ulong info = near.ReadAhead != 0 ? near.ReadAhead : FirstHits;
        long page = (long)(address >> PageGeometry.PageShift);
        long previous = (long)((info & ~LowBits) >> PageGeometry.PageShift);
        int window = Window(previous, page, (int)info & HitsMask, 1 << order, (int)((info & LowBits) >> WindowShift));
        near.ReadAhead = (address & ~LowBits) | ((ulong)(uint)window << WindowShift);
        if (window == 1)
        {
            return SwapInOutcome.Gone;
        }

        long first = page == previous + 1 ? page : previous == page + 1 ? page - window + 1 : page - ((window - 1) / 2);
        (ulong start, ulong end) = near.Around(address);
        long last = Math.Min(first + window, (long)(end >> PageGeometry.PageShift));
        first = Math.Max(first, (long)(start >> PageGeometry.PageShift));
        for (long i = first; i < last; i++)
        {
            ulong at = (ulong)i << PageGeometry.PageShift;
            SwapEntry neighbour = i == page ? entry : near.EntryAt(at);
            if (!neighbour.IsNone)
            {
                ReadOneAhead(cpu, neighbour, near, at, isTarget: i == page);
            }
        }

        return SwapInOutcome.Read;
    }

    private SwapInOutcome ReadBySlot(Cpu cpu, SwapArea area, SwapEntry entry, ISwapNeighbours near, ulong address)
    {
        int window = SlotWindow(entry.Offset);
        if (window == 1)
        {
            return SwapInOutcome.Gone;
        }

        long first = entry.Offset & ~(window - 1L);
        long last = Math.Min(first + window, area.Slots);
        for (long slot = Math.Max(first, SwapArea.HeaderSlots); slot < last; slot++)
        {
            ReadOneAhead(cpu, new SwapEntry(entry.Type, slot), near, address, isTarget: slot == entry.Offset);
        }

        return SwapInOutcome.Read;
    }

    private void ReadOneAhead(Cpu cpu, SwapEntry entry, ISwapNeighbours near, ulong address, bool isTarget)
    {
        // Shadows and free slots have no page to read; those of shared memory are read as well.
        SwapInOutcome outcome = ReadIntoCache(cpu, entry, near, address, out int pfn);
        if (pfn < 0)
        {
            return;
        }

        if (outcome is SwapInOutcome.Read or SwapInOutcome.Failed && !isTarget)
        {
            SetFlags(pfn, PageFlags.Reclaim);
            _events.Count(VmEvent.SwapRa);
        }

        Machine.Lru.Put(cpu, pfn);
    }

    /// <summary>A page was found in the cache: if read-ahead brought it there, larger windows are worth it.</summary>
    private void NoteHit(ISwapNeighbours near, ulong address, bool ahead)
    {
        bool byAddress = near.HasAddresses && _rotating == 0;
        if (byAddress)
        {
            ulong info = near.ReadAhead != 0 ? near.ReadAhead : FirstHits;
            ulong hits = Math.Min((info & HitsMask) + (ahead ? 1UL : 0), HitsMask);
            near.ReadAhead = (address & ~LowBits) | (info & LowBits & ~(ulong)HitsMask) | hits;
        }

        if (ahead)
        {
            _events.Count(VmEvent.SwapRaHit);
            _hits += byAddress ? 0 : 1;
        }
    }

    private int SlotWindow(long slot)
    {
        int largest = 1 << Math.Min(Machine.Settings.Sysctls.PageCluster, SwapEntry.OffsetBits);
        if (largest <= 1)
        {
            return 1;
        }

        int hits = _hits;
        _hits = 0;
        int window = Window(_previousSlot, slot, hits, largest, _previousWindow);
        if (hits == 0)
        {
            _previousSlot = slot;
        }

        return _previousWindow = window;
    }

    /// <summary>The window for a miss: a power of two from the hits since the last one, a single page for a miss far from the last without any, and never less than half the last window.</summary>
    private static int Window(long previous, long current, int hits, int largest, int previousWindow)
    {
        int pages = hits == 0
            ? Math.Abs(current - previous) == 1 ? 2 : 1
            : Math.Max(4, (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)hits + 2));
        return Math.Max(Math.Min(pages, largest), previousWindow / 2);
    }
}
