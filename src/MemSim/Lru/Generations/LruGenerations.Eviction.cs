using System.Diagnostics;
using MemSim.Pages;

namespace MemSim.Lru;

/// <content>Pages of the oldest generation are sorted: those that were used go on, the others are taken.</content>
internal sealed partial class LruGenerations
{
    /// <summary>Sorts pages of the oldest generation of a kind, eligible zones first, and takes those that may go (<c>scan_folios()</c>).</summary>
    /// <param name="lru">Takes references.</param>
    /// <param name="kind">The kind.</param>
    /// <param name="lastTier">Tiers above it are protected.</param>
    /// <param name="limit">Pages (a large one counts once) to look at.</param>
    /// <param name="highestZone">Pages of higher zones are of no use.</param>
    /// <param name="mayStartIo">Whether pages may be written for it.</param>
    /// <param name="into">Receives the pages taken; at least <see cref="MinBatch"/> long.</param>
    /// <param name="scan">What was found.</param>
    /// <returns>Whether that was possible: with two generations left nothing may be taken.</returns>
    public bool Scan(LruManager lru, int kind, int lastTier, long limit, int highestZone, bool mayStartIo, Span<int> into, ref GenerationScan scan)
    {
        scan = default;
        if (Generations(kind) == MinGenerations)
        {
            return false;
        }

        int slot = Slot(_min[kind]);
        long left = Math.Min(limit, MaxBatch);
        int parked = _vec.Head(LruList.Unevictable);
        for (int i = _zoneCount; i > 0 && left > 0 && scan.Taken < MinBatch; i--)
        {
            Zone zone = _zones[(highestZone + i) % _zoneCount];
            int head = Head(slot, kind, zone.Index);
            long skipped = 0;
            long taken = 0;
            while (left > 0 && Math.Max(scan.Taken, skipped) < MinBatch && !_frames.IsEmpty(head))
            {
                int pfn = _frames[head].Prev;
                ref PageFrame frame = ref _frames[pfn];
                long pages = 1L << frame.Order;
                scan.Scanned += pages;
                left--;
                if (Sort(lru, ref frame, pfn, kind, zone, lastTier, highestZone, ref scan))
                {
                    scan.Sorted += pages;
                    continue;
                }

                _frames.Remove(pfn);
                if (!TryTake(lru, ref frame, pfn, mayStartIo))
                {
                    skipped += pages;
                    _frames.AddFirst(parked, ref frame, pfn);
                    continue;
                }

                taken += pages;
                scan.Taken += pages;
                into[scan.Entries++] = pfn;
            }

            if (taken != 0)
            {
                Count(slot, kind, zone, -taken);
            }

            if (skipped != 0)
            {
                scan.Skipped += skipped;
                lru.Unpark(parked, head, zone, skipped);
            }
        }

        Debug.Assert(scan.Sorted + scan.Skipped + scan.Taken == scan.Scanned && _frames.IsEmpty(parked), "each page that was looked at went on, went back or is taken; none is parked");
        scan.HasProgress = scan.Taken != 0 || left == 0;
        return true;
    }

    /// <summary>Sees to a page that is not to be evicted now (<c>sort_folio()</c>).</summary>
    /// <returns>Whether that is so.</returns>
    private bool Sort(LruManager lru, ref PageFrame frame, int pfn, int kind, Zone zone, int lastTier, int highestZone, ref GenerationScan scan)
    {
        if (!lru.IsEvictable(pfn))
        {
            Remove(ref frame, pfn, zone);
            lru.ClearFlags(ref frame, PageFlags.Active);
            lru.SetFlags(ref frame, PageFlags.Unevictable);
            frame.Prev = 0;
            _vec.Add(ref frame, pfn, zone);
            scan.Culled += 1L << frame.Order;
            return true;
        }

        int slot = _ages.Generation(pfn);
        if (slot != Slot(_min[kind]))
        {
            // It was used since it came here.
            Relink(pfn, slot, kind, zone, back: false);
            return true;
        }

        int accesses = Accesses.CountOf(frame, pfn);
        bool workingset = frame.IsWorkingset;
        int tier = Accesses.TierOf(accesses, workingset);
        bool often = Accesses.IsPromotedLazily(accesses, workingset);
        if (tier > lastTier || often)
        {
            slot = MoveOn(ref frame, pfn, kind, zone);
            Relink(pfn, slot, kind, zone, back: !Accesses.HasWorkingSetTier);
            if (!often || !Accesses.HasWorkingSetTier)
            {
                Control.Of(kind).CountProtected(tier, 1L << frame.Order);
            }

            return true;
        }

        if (!frame.IsOnLru || zone.Index > highestZone)
        {
            Relink(pfn, MoveOn(ref frame, pfn, kind, zone), kind, zone, back: true);
            return true;
        }

        bool dirty = kind == 1 && frame.IsDirty;
        bool writeback = frame.IsUnderWriteback;
        if (dirty)
        {
            scan.FileDirty += 1L << frame.Order;
            scan.UnqueuedDirty += writeback ? 0 : 1L << frame.Order;
        }

        if (!writeback && !dirty)
        {
            return false;
        }

        slot = MoveOn(ref frame, pfn, kind, zone);
        lru.SetFlags(ref frame, PageFlags.Reclaim);
        Relink(pfn, slot, kind, zone, back: false);
        return true;
    }

    /// <summary>Takes a page off for eviction (<c>isolate_folio()</c>); the counts are the caller's.</summary>
    private bool TryTake(LruManager lru, ref PageFrame frame, int pfn, bool mayStartIo)
    {
        if ((!mayStartIo && (frame.IsDirty || (frame.IsAnonymous && !frame.InSwapCache))) || !lru.TryGet(pfn))
        {
            return false;
        }

        if (!lru.TestClearLru(ref frame))
        {
            lru.DropIsolation(pfn);
            return false;
        }

        if (!Accesses.HasWorkingSetTier)
        {
            if (!frame.IsReferenced)
            {
                lru.ClearFlags(ref frame, PageFlags.WorkingSet);
                _ages.SetAccesses(pfn, 0);
            }

            lru.ClearFlags(ref frame, PageFlags.Reclaim | PageFlags.Referenced);
        }
        else
        {
            if (!frame.IsReferenced)
            {
                _ages.SetAccesses(pfn, 0);
            }

            lru.ClearFlags(ref frame, PageFlags.Reclaim);
        }

        _ages.SetGeneration(pfn, -1);
        return true;
    }

    /// <summary>A page that was isolated and must not be evicted is kept out of the oldest generation.</summary>
    public void KeepOutOfOldest(ref PageFrame frame, int pfn)
    {
        if (!Accesses.HasWorkingSetTier)
        {
            if (frame.IsToBeReclaimed && frame.Has(PageFlags.Dirty | PageFlags.Writeback))
            {
                return;
            }

            frame.Clear(PageFlags.Referenced | PageFlags.WorkingSet, _parallel);
        }
        else if (SequenceOf(ref frame, KindOf(frame), oldest: false) != _min[KindOf(frame)])
        {
            return;
        }
        else
        {
            frame.Clear(PageFlags.Referenced, _parallel);
        }

        _ages.SetAccesses(pfn, 0);
        frame.Set(PageFlags.Active, _parallel);
    }

    private void Relink(int pfn, int slot, int kind, Zone zone, bool back)
    {
        _frames.Remove(pfn);
        if (back)
        {
            _frames.AddLast(Head(slot, kind, zone.Index), pfn);
        }
        else
        {
            _frames.AddFirst(Head(slot, kind, zone.Index), pfn);
        }
    }
}

/// <summary>What a scan of the oldest generation came to, in pages.</summary>
internal struct GenerationScan
{
    public long Scanned;
    public long Sorted;
    public long Skipped;
    public long Taken;
    public long FileDirty;
    public long UnqueuedDirty;
    public long Culled;
    public int Entries;

    /// <summary>Whether it is worth going on: something was taken, or there was more than the scan could look at.</summary>
    public bool HasProgress;
}
