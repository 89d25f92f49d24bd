using System.Numerics;
using MemSim.Pages;

namespace MemSim.PageCache;

/// <summary>Brings pages in before they are asked for: windows that double as long as a file is read in order, and a mark in each that starts the next one.</summary>
/// <remarks>The mark is <see cref="PageFlags.Reclaim"/>, which means read-ahead on a page that is not being written.</remarks>
internal static class ReadAhead
{
    private const uint BatchPages = 64;

    /// <summary>A page is missing (<c>page_cache_sync_ra()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="mapping">The file.</param>
    /// <param name="state">How it was read so far.</param>
    /// <param name="index">The page.</param>
    /// <param name="request">Pages asked for from it on.</param>
    public static void OnMiss(Cpu cpu, FileMapping mapping, ReadAheadState state, uint index, uint request)
    {
        if (state.MaxPages == 0)
        {
            // No guessing: only what was asked for, and not all of a very large request.
            Bring(cpu, mapping, index, Math.Min(request, ReadAheadPolicy.DefaultMaxPages), mark: 0, waits: true);
            return;
        }

        state.Order = 0;
        OnDemand(cpu, mapping, state, index, request, hitMark: false);
    }

    /// <summary>A page with the mark was reached (<c>page_cache_async_ra()</c>).</summary>
    public static void OnMark(Cpu cpu, FileMapping mapping, ReadAheadState state, int pfn, uint index, uint request)
    {
        ref PageFrame frame = ref mapping.FrameOf(pfn);
        if (state.MaxPages == 0 || frame.IsUnderWriteback)
        {
            return;
        }

        _ = cpu.Machine.Lru.ClearFlags(ref frame, PageFlags.Reclaim);
        state.Order += 2;
        OnDemand(cpu, mapping, state, index, request, hitMark: true);
    }

    /// <summary>A mapped file is read where nothing is known: the window lies around the page, with the mark in its last quarter (<c>do_sync_mmap_readahead()</c>).</summary>
    public static void Around(Cpu cpu, FileMapping mapping, ReadAheadState state, uint index)
    {
        state.Start = index - Math.Min(index, state.MaxPages / 2);
        state.Size = state.MaxPages;
        state.AsyncSize = state.MaxPages / 4;
        Bring(cpu, mapping, state.Start, state.Size, state.AsyncSize, waits: true);
    }

    /// <summary>Reads pages that somebody announced he will need (<c>POSIX_FADV_WILLNEED</c>, <c>MADV_WILLNEED</c>).</summary>
    public static void Force(Cpu cpu, FileMapping mapping, uint index, uint pages)
    {
        while (pages > 0)
        {
            uint some = Math.Min(pages, 2u << (20 - PageGeometry.PageShift));
            Bring(cpu, mapping, index, some, mark: 0, waits: false);
            index += some;
            pages -= some;
        }
    }

    private static void OnDemand(Cpu cpu, FileMapping mapping, ReadAheadState state, uint index, uint request, bool hitMark)
    {
        uint max = state.MaxPages;
        bool isExpected = state.Size != 0 && (index == state.Start + state.Size - state.AsyncSize || index == state.Start + state.Size);
        if (index != 0 && isExpected)
        {
            // In order: the window moves on and grows.
            state.Start += state.Size;
            state.Size = ReadAheadPolicy.NextWindow(state.Size, max);
            state.AsyncSize = state.Size;
        }
        else if (index != 0 && hitMark)
        {
            // Somebody else's window, or several readers of one file: go on behind what is there.
            uint missing = mapping.NextMiss(index + 1, max);
            if (missing - index > max)
            {
                return;
            }

            state.Start = missing;
            state.Size = ReadAheadPolicy.NextWindow(missing - index + request, max);
            state.AsyncSize = state.Size;
        }
        else if (index == 0 || request > max || IsNextTo(state, index))
        {
            Begin(state, index, request, max);
        }
        else if (!TryFromContext(mapping, state, index, request, max))
        {
            // Here and there: exactly what was asked for, the window stays.
            Bring(cpu, mapping, index, request, mark: 0, waits: true);
            return;
        }

        if (hitMark && mapping.LargestOrder != 0)
        {
            EndWhereLargePagesDo(state, max);
        }

        if (index == state.Start && state.Size == state.AsyncSize)
        {
            // The mark would be on the page just read: take the next window along.
            uint more = ReadAheadPolicy.NextWindow(state.Size, max);
            if (state.Size + more <= max)
            {
                state.AsyncSize = more;
                state.Size += more;
            }
            else
            {
                state.Size = max;
                state.AsyncSize = max / 2;
            }
        }

        BringWindow(cpu, mapping, state, waits: !hitMark);
    }

    /// <summary>A window of large pages ends where one of them could (6.17), so that the next one begins with a whole one.</summary>
    private static void EndWhereLargePagesDo(ReadAheadState state, uint max)
    {
        uint end = state.Start + state.Size;
        uint aligned = end & ~((1u << Math.Min(state.Order, BitOperations.TrailingZeroCount(max))) - 1);
        if (aligned > state.Start)
        {
            state.Size = state.AsyncSize = aligned - state.Start;
        }
    }

    private static bool IsNextTo(ReadAheadState state, uint index)
    {
        uint previous = (uint)(Math.Max(state.PreviousPosition, -1) >> PageGeometry.PageShift);
        return index - previous <= 1;
    }

    private static void Begin(ReadAheadState state, uint index, uint request, uint max)
    {
        state.Start = index;
        state.Size = ReadAheadPolicy.FirstWindow(request, max);
        state.AsyncSize = state.Size > request ? state.Size - request : state.Size;
    }

    /// <summary>The pages before a missing one are all there: it was read in order, whatever the state says.</summary>
    private static bool TryFromContext(FileMapping mapping, ReadAheadState state, uint index, uint request, uint max)
    {
        uint before = mapping.PagesBefore(index, max);
        if (before <= request)
        {
            return false;
        }

        // From the start of the file on: it looks like one long stream.
        before *= before >= index ? 2u : 1u;
        state.Start = index;
        state.Size = Math.Min(before + request, max);
        state.AsyncSize = 1;
        return true;
    }

    /// <summary>Brings a window in pages as large as a stream deserves, aligned to their size and none beyond the end (<c>page_cache_ra_order()</c>); where one cannot be had the rest comes in single pages.</summary>
    private static void BringWindow(Cpu cpu, FileMapping mapping, ReadAheadState state, bool waits)
    {
        state.Order = Math.Min(Math.Min(mapping.LargestOrder, state.Order), BitOperations.Log2(Math.Max(state.Size, 1)));
        uint index = state.Start;
        long end = Math.Min(mapping.SizePages, (long)index + state.Size);
        Gfp gfp = mapping.Gfp | Gfp.NoRetry | Gfp.NoWarn;
        uint mark = index + state.Size - state.AsyncSize;
        while (state.Order != 0 && index < end)
        {
            int order = Math.Min(state.Order, BitOperations.TrailingZeroCount(index));
            while (index + (1L << order) > end)
            {
                order--;
            }

            int pfn = mapping.Create(cpu, index, gfp, out _, order);
            if (pfn < 0)
            {
                break;
            }

            if (index == (mark & ~((1u << order) - 1)))
            {
                cpu.Machine.Lru.SetFlags(ref mapping.FrameOf(pfn), PageFlags.Reclaim);
            }

            mapping.FillLarge(cpu, pfn, waits);
            cpu.Machine.Lru.Put(cpu, pfn);
            index += 1u << order;
        }

        if (index < end)
        {
            Bring(cpu, mapping, index, state.Size - (index - state.Start), state.AsyncSize, waits);
        }
    }

    /// <summary>Allocates the pages of a window that are missing and has them read, as many in one request as lie next to each other (<c>page_cache_ra_unbounded()</c>).</summary>
    private static void Bring(Cpu cpu, FileMapping mapping, uint start, uint pages, uint mark, bool waits)
    {
        long end = mapping.SizePages;
        if (start >= end)
        {
            return;
        }

        pages = (uint)Math.Min(pages, end - start);
        Gfp gfp = mapping.Gfp | Gfp.NoRetry | Gfp.NoWarn;
        Span<int> batch = stackalloc int[(int)BatchPages];
        int count = 0;
        uint batchStart = start;
        uint markAt = mark != 0 && mark <= pages ? start + pages - mark : uint.MaxValue;
        for (uint i = 0; i < pages; i++)
        {
            uint index = start + i;
            int pfn = mapping.Find(index) >= 0 ? -1 : mapping.Create(cpu, index, gfp, out Errno error);
            if (pfn < 0 || count == BatchPages)
            {
                Submit(cpu, mapping, batchStart, batch[..count], waits);
                count = 0;
            }

            if (pfn >= 0)
            {
                batchStart = count == 0 ? index : batchStart;
                batch[count++] = pfn;
                if (index == markAt)
                {
                    cpu.Machine.Lru.SetFlags(ref mapping.FrameOf(pfn), PageFlags.Reclaim);
                }
            }
            else if (mapping.Find(index) < 0)
            {
                // No memory: what was not read now will be read when it is needed.
                return;
            }
        }

        Submit(cpu, mapping, batchStart, batch[..count], waits);
    }

    private static void Submit(Cpu cpu, FileMapping mapping, uint index, ReadOnlySpan<int> pages, bool waits)
    {
        if (pages.IsEmpty)
        {
            return;
        }

        mapping.Fill(cpu, index, pages, waits);
        foreach (int pfn in pages)
        {
            cpu.Machine.Lru.Put(cpu, pfn);
        }
    }
}
