using MemSim.Lru;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Reads what every page frame of a machine is, a block at a time: for pictures of memory. Reading never changes the machine.</summary>
public sealed class FrameViewer
{
    private readonly Machine _machine;

    /// <summary>Looks at a machine.</summary>
    /// <param name="machine">The machine.</param>
    public FrameViewer(Machine machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        _machine = machine;
    }

    /// <summary>Frame numbers from 0, a multiple of <see cref="BlockPages"/>; frames that no zone has are holes.</summary>
    public long Frames => _machine.Frames.Count;

    /// <summary>The pages of a block of the largest order: what is read at a time.</summary>
    public static int BlockPages => 1 << PageGeometry.MaxOrder;

    /// <summary>Reads the frames of one block of the largest order.</summary>
    /// <param name="first">The first frame, a multiple of <see cref="BlockPages"/>.</param>
    /// <param name="runs">Receives what the frames are, ascending, without gaps; room for <see cref="BlockPages"/> is always enough.</param>
    /// <returns>How many runs there are.</returns>
    /// <exception cref="ArgumentException">The machine has no such block, or there is too little room.</exception>
    /// <exception cref="ObjectDisposedException">The machine is gone.</exception>
    public int Read(Pfn first, Span<FrameRun> runs)
    {
        if (first.Value % BlockPages != 0 || first.Value < 0 || first.Value >= Frames || runs.Length < BlockPages)
        {
            throw new ArgumentException($"frame {first} and room for {runs.Length} runs: give the first frame of a block of {BlockPages} within the machine's {Frames}, and room for as many");
        }

        _machine.ThrowIfDisposed();
        long end = first.Value + BlockPages;
        long at = first.Value;
        int count = 0;
        foreach (PresentRange range in _machine.ZoneTable.PresentRanges)
        {
            if (range.End <= at || range.Start >= end)
            {
                continue;
            }

            if (range.Start > at)
            {
                runs[count++] = new FrameRun(new Pfn(at), (int)(range.Start - at), FrameUse.Hole, -1, FrameLru.None);
                at = range.Start;
            }

            long stop = Math.Min(range.End, end);
            count += ReadPresent(at, stop, runs[count..]);
            at = stop;
        }

        if (at < end)
        {
            runs[count++] = new FrameRun(new Pfn(at), (int)(end - at), FrameUse.Hole, -1, FrameLru.None);
        }

        return count;
    }

    private int ReadPresent(long start, long end, Span<FrameRun> runs)
    {
        int count = 0;
        for (int pfn = (int)start; pfn < end;)
        {
            FrameRun run = RunAt(pfn, end);
            ref FrameRun last = ref runs[Math.Max(count - 1, 0)];
            if (count > 0 && run.Order < 0 && last.Order < 0 && last.Use == run.Use)
            {
                last = last with { Pages = last.Pages + run.Pages };
            }
            else
            {
                runs[count++] = run;
            }

            pfn += run.Pages;
        }

        return count;
    }

    private FrameRun RunAt(int pfn, long end)
    {
        if (_machine.Frames.Untouched.IsHead(pfn))
        {
            return Block(pfn, PageGeometry.MaxOrder, end, FrameUse.Free, FrameLru.None);
        }

        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        if (frame.IsBuddy)
        {
            return Block(pfn, frame.Private, end, FrameUse.Free, FrameLru.None);
        }

        if (frame.IsPcp)
        {
            return Block(pfn, _machine.ZoneTable.PcpOrder(pfn), end, FrameUse.PerCpu, FrameLru.None);
        }

        if (frame.RefCount != 0)
        {
            PageFlags flags = frame.StoredFlags;
            return Block(pfn, frame.Order, end, UseOf(in frame, flags), LruOf(pfn, flags));
        }

        return new FrameRun(new Pfn(pfn), 1, _machine.Frames.IsReserved(pfn) ? FrameUse.Reserved : FrameUse.Boot, -1, FrameLru.None);
    }

    private static FrameRun Block(int pfn, int order, long end, FrameUse use, FrameLru lru) => new(new Pfn(pfn), (int)Math.Min(1L << order, end - pfn), use, order, lru);

    private static FrameUse UseOf(ref readonly PageFrame frame, PageFlags flags)
    {
        if ((flags & PageFlags.Slab) != 0)
        {
            return FrameUse.Slab;
        }

        if (frame.InvertedMapCount == (int)PageType.Table)
        {
            return FrameUse.PageTable;
        }

        return frame.IsAnonymous ? FrameUse.Anonymous
            : frame.IsDriverMovable ? FrameUse.Movable
            : frame.Mapping == 0 ? FrameUse.Kernel
            : (flags & PageFlags.SwapBacked) != 0 ? FrameUse.SharedMemory : FrameUse.File;
    }

    private FrameLru LruOf(int pfn, PageFlags flags)
    {
        if ((flags & PageFlags.Lru) == 0)
        {
            return FrameLru.None;
        }

        if ((flags & PageFlags.Unevictable) != 0)
        {
            return FrameLru.Unevictable;
        }

        if (_machine.Lru.Ages.Generation(pfn) is >= 0 and int slot && _machine.Lru.OfPage(pfn).Generations is { } generations)
        {
            return FrameLru.Youngest + ((LruGenerations.Slot(generations.MaxSequence) - slot) & (LruGenerations.MaxGenerations - 1));
        }

        bool active = (flags & PageFlags.Active) != 0;
        return (flags & PageFlags.SwapBacked) != 0
            ? active ? FrameLru.ActiveAnon : FrameLru.InactiveAnon
            : active ? FrameLru.ActiveFile : FrameLru.InactiveFile;
    }
}
