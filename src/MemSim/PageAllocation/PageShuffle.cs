using MemSim.Pages;

namespace MemSim.PageAllocation;

/// <summary>Randomises the order of the largest free blocks (<c>page_alloc.shuffle=1</c>): all once after the boot, then each by a coin when it is freed.</summary>
/// <remarks>Kernel: <c>mm/shuffle.c</c>. The kernel's numbers are random; these come from one seed, so that the same machine gives the same frames.</remarks>
internal sealed class PageShuffle
{
    /// <summary>Smaller blocks keep the allocator's own order (<c>SHUFFLE_ORDER</c>).</summary>
    public const int Order = PageGeometry.MaxOrder;

    private const int Retries = 10;

    private ulong _state = 88172645463325252;
    private ulong _coins;
    private int _coinsLeft;

    /// <summary>Whether a block that was freed goes to the back of its list.</summary>
    public bool PickTail()
    {
        if (_coinsLeft == 0)
        {
            _coins = Next();
            _coinsLeft = 64;
        }

        bool tail = (_coins & 1) != 0;
        _coins >>= 1;
        _coinsLeft--;
        return tail;
    }

    /// <summary>Exchanges each of the largest free blocks with another one of its zone and type.</summary>
    public void ShuffleAll(Machine machine)
    {
        foreach (Zone zone in machine.Zones)
        {
            if (zone.IsPopulated)
            {
                machine.Frames.Untouched.TouchAll(zone.StartPfn.Value, zone.EndPfn.Value);
                Shuffle(machine.Frames.Array, zone);
            }
        }
    }

    /// <summary>Exchanges each of the largest free blocks of a zone with another one of its type (<c>shuffle_zone()</c>).</summary>
    public void Shuffle(FrameArray frames, Zone zone)
    {
        const int pages = 1 << Order;
        int start = (int)zone.StartPfn.Value;
        int end = start + (int)zone.SpannedPages;
        for (int pfn = (start + pages - 1) & -pages; pfn < end; pfn += pages)
        {
            if (!IsWholeFree(frames, zone, pfn))
            {
                continue;
            }

            for (int retry = 0; retry < Retries; retry++)
            {
                int other = start + ((int)(Next() % (ulong)zone.SpannedPages) & -pages);
                if (other != pfn && IsWholeFree(frames, zone, other))
                {
                    if (zone.BlockType(pfn) == zone.BlockType(other) && frames[pfn].Index == frames[other].Index)
                    {
                        Swap(frames, pfn, other);
                    }

                    break;
                }
            }
        }
    }

    private static bool IsWholeFree(FrameArray frames, Zone zone, int pfn) =>
        (pfn & ((1 << Order) - 1)) == 0 && zone.SpansIndex(pfn) && frames[pfn].IsBuddy && frames[pfn].Private == Order && frames[pfn].ZoneId == zone.Id;

    private static void Swap(FrameArray frames, int first, int second)
    {
        int before = frames[first].Prev;
        if (before == second)
        {
            (first, second) = (second, first);
            before = frames[first].Prev;
        }

        int beforeSecond = frames[second].Prev;
        frames.Remove(first);
        frames.Remove(second);
        if (beforeSecond == first)
        {
            frames.AddFirst(before, first);
            frames.AddFirst(before, second);
            return;
        }

        frames.AddFirst(before, second);
        frames.AddFirst(beforeSecond, first);
    }

    private ulong Next()
    {
        _state ^= _state << 13;
        _state ^= _state >> 7;
        _state ^= _state << 17;
        return _state;
    }
}
