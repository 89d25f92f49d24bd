using System.Diagnostics;
using MemSim.Kernels;
using MemSim.Pages;

namespace MemSim.Lru;

/// <content>The window moves on: a youngest generation is added, empty oldest ones go.</content>
internal sealed partial class LruGenerations
{
    /// <summary>The oldest generation that eviction may take from (<c>evictable_min_seq()</c>).</summary>
    public long EvictableMin(int swappiness) => swappiness == 0 ? _min[1] : swappiness > Swappiness.Max ? _min[0]
        : _rules.Eviction == EvictionStep.Batch ? _min[0] : Math.Min(_min[0], _min[1]);

    /// <summary>Pages of the kinds that may be evicted.</summary>
    public long EvictablePages(int swappiness)
    {
        long pages = 0;
        for (int kind = 0; kind < Kinds; kind++)
        {
            for (long seq = _min[kind]; seq <= MaxSequence && Swappiness.Evicts(kind, swappiness); seq++)
            {
                pages += Pages(seq, kind);
            }
        }

        return pages;
    }

    /// <summary>Whether there is nothing left that could be evicted before a generation is added.</summary>
    public bool IsOutOfCold(int swappiness) => EvictableMin(swappiness) + MinGenerations > MaxSequence;

    /// <summary>Whether it is better to add a generation although eviction is still possible.</summary>
    public bool IsLowOnCold(int swappiness) => EvictableMin(swappiness) + MinGenerations == MaxSequence;

    /// <summary>The rule of 6.12 for that: with three generations, not more than half of the pages in the youngest, and not less than a quarter in the oldest.</summary>
    public bool IsUneven(int swappiness)
    {
        if (EvictableMin(swappiness) + MinGenerations < MaxSequence)
        {
            return false;
        }

        long total = EvictablePages(swappiness);
        long young = 0;
        long old = 0;
        for (int kind = 0; kind < Kinds; kind++)
        {
            if (Swappiness.Evicts(kind, swappiness))
            {
                young += _min[kind] <= MaxSequence ? Pages(MaxSequence, kind) : 0;
                old += _min[kind] <= MaxSequence - MinGenerations ? Pages(MaxSequence - MinGenerations, kind) : 0;
            }
        }

        return young * MinGenerations > total || old * (MinGenerations + 2) < total;
    }

    /// <summary>Adds a youngest generation, unless somebody did since (<c>inc_max_seq()</c>).</summary>
    /// <param name="seen">The youngest when the caller looked.</param>
    /// <param name="swappiness">Whether anonymous pages are aged too.</param>
    /// <param name="now">The time on the machine's clock.</param>
    public bool AddGeneration(long seen, int swappiness, long now)
    {
        if (seen != MaxSequence)
        {
            return false;
        }

        for (int kind = 0; kind < Kinds; kind++)
        {
            if (Generations(kind) == MaxGenerations)
            {
                MergeOldest(kind, swappiness);
            }
        }

        // The second youngest becomes inactive; what is in the slot of the new one, of a kind that cannot be evicted, becomes active.
        int previous = Slot(MaxSequence - 1);
        int next = Slot(MaxSequence + 1);
        for (int kind = 0; kind < Kinds; kind++)
        {
            for (int zone = 0; zone < _zoneCount; zone++)
            {
                long pages = _pages[Index(previous, kind, zone)] - _pages[Index(next, kind, zone)];
                if (pages != 0)
                {
                    _vec.Count(_zones[zone], (LruList)(kind * 2), pages);
                    _vec.Count(_zones[zone], (LruList)((kind * 2) + 1), -pages);
                }
            }
        }

        _born[next] = now;
        MaxSequence++;
        Debug.Assert(Generations(0) is >= MinGenerations and <= MaxGenerations && Generations(1) is >= MinGenerations and <= MaxGenerations, "two to four generations of each kind");
        return true;
    }

    /// <summary>Gives up oldest generations that are empty (<c>try_to_inc_min_seq()</c>).</summary>
    /// <returns>Whether there were any.</returns>
    public bool DropEmpty(int swappiness)
    {
        Span<long> min = [_min[0], _min[1]];
        for (int kind = 0; kind < Kinds; kind++)
        {
            while (Swappiness.Evicts(kind, swappiness) && min[kind] + MinGenerations <= MaxSequence && IsEmpty(Slot(min[kind]), kind))
            {
                min[kind]++;
            }
        }

        if (swappiness is not 0 and <= Swappiness.Max)
        {
            KeepTogether(min);
        }

        bool any = false;
        for (int kind = 0; kind < Kinds; kind++)
        {
            if (Swappiness.Evicts(kind, swappiness) && min[kind] > _min[kind])
            {
                Control.Of(kind).Fade();
                _min[kind] = min[kind];
                any = true;
            }
        }

        Debug.Assert(Generations(0) is >= MinGenerations and <= MaxGenerations && Generations(1) is >= MinGenerations and <= MaxGenerations, "two to four generations of each kind");
        return any;
    }

    /// <summary>The kinds must not drift apart: anonymous pages are the older ones (6.12), or no kind is two generations ahead while the other still has cold pages (6.18).</summary>
    private void KeepTogether(Span<long> min)
    {
        if (_rules.Eviction == EvictionStep.Batch)
        {
            min[0] = Math.Min(min[0], min[1]);
            min[1] = Math.Max(min[0], _min[1]);
            return;
        }

        long limit = MaxSequence - MinGenerations;
        if (min[0] > limit && min[1] < limit)
        {
            min[0] = limit;
        }
        else if (min[1] > limit && min[0] < limit)
        {
            min[1] = limit;
        }
    }

    /// <summary>The oldest generation goes although it has pages: they become as old as the next (<c>inc_min_seq()</c>).</summary>
    private void MergeOldest(int kind, int swappiness)
    {
        int old = Slot(_min[kind]);
        for (int zone = 0; zone < _zoneCount && Swappiness.Evicts(kind, swappiness); zone++)
        {
            int head = Head(old, kind, zone);
            while (!_frames.IsEmpty(head))
            {
                int pfn = _frames[head].Prev;
                ref PageFrame frame = ref _frames[pfn];
                int accesses = Accesses.CountOf(frame, pfn);
                bool workingset = frame.IsWorkingset;
                bool moves = _ages.Generation(pfn) == old;
                int slot = MoveOn(ref frame, pfn, kind, _zones[zone]);
                _frames.Remove(pfn);
                _frames.AddLast(Head(slot, kind, zone), pfn);
                if (moves && Accesses.HasWorkingSetTier && !Accesses.IsPromotedLazily(accesses, workingset))
                {
                    Control.Of(kind).CountProtected(Accesses.TierOf(accesses, workingset), 1L << frame.Order);
                }
            }
        }

        Debug.Assert(Generations(kind) == MaxGenerations, "the oldest goes when there are as many as can be");
        Control.Of(kind).Fade();
        _min[kind]++;
    }

    /// <summary>A page of the oldest generation goes to the next one, its accesses forgotten (<c>folio_inc_gen()</c>); one that was promoted meanwhile stays what it is.</summary>
    /// <returns>The slot whose list it belongs in.</returns>
    private int MoveOn(ref PageFrame frame, int pfn, int kind, Zone zone)
    {
        int old = Slot(_min[kind]);
        int now = _ages.Generation(pfn);
        if (now != old)
        {
            return now;
        }

        int next = Slot(_min[kind] + 1);
        frame.Clear(Accesses.Marks, _parallel);
        _ages.Begin(pfn, next);
        Recount(old, next, kind, zone, 1L << frame.Order);
        return next;
    }

    private bool IsEmpty(int slot, int kind)
    {
        for (int zone = 0; zone < _zoneCount; zone++)
        {
            if (!_frames.IsEmpty(Head(slot, kind, zone)))
            {
                return false;
            }
        }

        return true;
    }
}
