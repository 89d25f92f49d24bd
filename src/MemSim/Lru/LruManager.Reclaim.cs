using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Pages;

namespace MemSim.Lru;

/// <content>What reclaim needs: many pages off a list at once, and back.</content>
internal sealed partial class LruManager
{
    /// <summary>Takes pages off the back of a list, each with a reference (<c>isolate_lru_pages()</c>).</summary>
    /// <param name="vec">The lists.</param>
    /// <param name="list">The list.</param>
    /// <param name="want">Pages to look at, those of too high zones not counted.</param>
    /// <param name="highestZoneIndex">Pages of higher zones are skipped: freeing them would not help the request.</param>
    /// <param name="takeMapped">Whether pages may be taken that page tables map.</param>
    /// <param name="into">Receives the pages; at least as long as <paramref name="want"/>.</param>
    /// <param name="isolation">What was found.</param>
    /// <returns>Entries of <paramref name="into"/> that were filled.</returns>
    public int IsolateFrom(LruVec vec, LruList list, long want, int highestZoneIndex, bool takeMapped, Span<int> into, ref Isolation isolation)
    {
        int head = vec.Head(list);

        // Unevictable pages are in no list: their head serves for those that are skipped.
        int skipped = vec.Head(LruList.Unevictable);
        int entries = 0;
        long looked = 0;
        FrameArray frames = _frames;
        isolation = default;
        Zone? counted = null;
        long scannedOfZone = 0;
        long takenOfZone = 0;
        vec.Enter();
        while (looked < want && !frames.IsEmpty(head))
        {
            int pfn = frames[head].Prev;
            ref PageFrame frame = ref frames[pfn];
            Zone zone = _zones[frame.ZoneId];
            long pages = 1L << frame.Order;
            isolation.Scanned += pages;
            if (zone != counted)
            {
                CountTaken(vec, list, counted, scannedOfZone, takenOfZone);
                (counted, scannedOfZone, takenOfZone) = (zone, 0, 0);
            }

            scannedOfZone += pages;
            frames.Remove(pfn);
            if (zone.Index > highestZoneIndex)
            {
                isolation.Skipped += pages;
                _machine.Events.CountSkips(zone.Type, pages);
                frames.AddFirst(skipped, ref frame, pfn);
                continue;
            }

            looked += pages;
            if ((!takeMapped && frame.MapCount != 0) || !TryGet(pfn))
            {
                frames.AddFirst(head, ref frame, pfn);
                continue;
            }

            if (!TestClearLru(ref frame))
            {
                // Somebody else is about to take it off: it must find it in its list.
                frames.AddFirst(head, ref frame, pfn);
                _table.AddReferences(pfn, -1);
                continue;
            }

            takenOfZone += pages;
            isolation.Taken += pages;
            into[entries++] = pfn;
        }

        Debug.Assert(isolation.Taken + isolation.Skipped <= isolation.Scanned && entries <= isolation.Taken, "what was taken and what was skipped was looked at");
        CountTaken(vec, list, counted, scannedOfZone, takenOfZone);
        if (isolation.Skipped != 0)
        {
            SpliceAtFront(skipped, head);
        }

        Debug.Assert(frames.IsEmpty(skipped), "those that were skipped are in their list again");
        CountIsolated(vec, list >= LruList.InactiveFile, isolation.Taken);
        vec.Exit();
        return entries;
    }

    /// <summary>Counts what was scanned and taken of one zone, once for all its pages.</summary>
    private static void CountTaken(LruVec vec, LruList list, Zone? zone, long scanned, long taken)
    {
        if (zone is not null)
        {
            zone.PagesScanned += scanned;
            vec.Count(zone, list, -taken);
        }
    }

    /// <summary>Puts isolated pages where their flags say, the first given deepest, and drops the isolator's references (<c>move_folios_to_lru()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="vec">The lists.</param>
    /// <param name="pages">The pages; those that nobody else held any more are moved to the front of the span.</param>
    /// <param name="unused">How many of these there are: the caller frees them.</param>
    /// <returns>Pages put on lists.</returns>
    public long PutBackAll(Cpu cpu, LruVec vec, Span<int> pages, out int unused)
    {
        long moved = 0;
        unused = 0;
        vec.Enter();
        for (int i = 0; i < pages.Length; i++)
        {
            int pfn = pages[i];
            ref PageFrame frame = ref _frames[pfn];
            if (!IsEvictable(ref frame))
            {
                vec.Exit();
                PutBack(cpu, pfn);
                vec.Enter();
                continue;
            }

            if (OfPage(pfn) is { } own && own != vec)
            {
                // Pages that were given up together may be paid for by different cgroups.
                vec.Exit();
                vec = own;
                vec.Enter();
            }

            SetFlags(ref frame, PageFlags.Lru);
            if (DropReference(cpu, pfn))
            {
                ClearFlags(ref frame, PageFlags.Lru | PageFlags.Active | PageFlags.Unevictable);
                pages[unused++] = pfn;
                continue;
            }

            vec.Add(ref frame, pfn, _zones[frame.ZoneId]);
            moved += 1L << frame.Order;
            if (frame.IsActive)
            {
                vec.Age(1L << frame.Order);
            }
        }

        Debug.Assert(unused <= pages.Length, "who is to be freed was given");
        vec.Exit();
        return moved;
    }

    /// <summary>Takes the last reference, when it is that of the caller (<c>folio_ref_freeze(folio, 1)</c>).</summary>
    public bool TryTakeLastReference(int pfn)
    {
        if (_parallel)
        {
            _machine.Interleaver?.Pass("LruManager.TryTakeLastReference");
        }

        return _frames[pfn].TryFreeze(1, _parallel);
    }

    /// <summary>Changes <c>nr_isolated_anon</c> or <c>nr_isolated_file</c>. The caller holds the lock, or is alone.</summary>
    public static void CountIsolated(LruVec vec, bool file, long pages)
    {
        NodeCounters counters = vec.Node.Counters;
        counters.IsolatedFile += file ? pages : 0;
        counters.IsolatedAnon += file ? 0 : pages;
        Debug.Assert(counters.IsolatedFile >= 0 && counters.IsolatedAnon >= 0, "no more are given back than were isolated");
    }

    /// <summary>Counts pages that are not isolated any more.</summary>
    public static void EndIsolation(LruVec vec, bool file, long pages)
    {
        vec.Enter();
        CountIsolated(vec, file, -pages);
        vec.Exit();
    }

    /// <summary>Whether a page that was just isolated is of a file, clean and mapped nowhere (and not used since the last look, where use decides by generation): whatever else is asked about it, it can go.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsIdleCache(ref PageFrame frame)
    {
        const PageFlags busy = PageFlags.Mlocked | PageFlags.Dirty | PageFlags.Writeback | PageFlags.SwapBacked;
        return frame.InvertedMapCount == 0 && !frame.Has(ByGeneration ? busy | PageFlags.Referenced : busy) && !frame.IsAnonymousOrMovable && _mappings.KeepingOwners == 0;
    }

    /// <summary>Whether a page may be evicted now (<c>folio_evictable()</c>).</summary>
    public bool IsEvictable(int pfn) => IsEvictable(ref _frames[pfn]);

    private void SpliceAtFront(int from, int to)
    {
        int first = _frames[from].Next;
        int last = _frames[from].Prev;
        int next = _frames[to].Next;
        _frames[to].Next = first;
        _frames[first].Prev = to;
        _frames[last].Next = next;
        _frames[next].Prev = last;
        _frames.InitList(from);
    }

    /// <summary>What taking pages off a list came to, in pages.</summary>
    internal struct Isolation
    {
        public long Scanned;
        public long Skipped;
        public long Taken;
    }
}
