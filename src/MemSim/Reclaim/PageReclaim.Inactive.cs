using System.Diagnostics;
using MemSim.Kernels;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.Reclaim;

/// <content>Inactive pages: which are freed, which written, which get another chance.</content>
internal sealed partial class PageReclaim
{
    private enum Verdict
    {
        Reclaim,

        /// <summary>Used through a file descriptor since the last look: only if it costs no write.</summary>
        ReclaimClean,
        Keep,
        Activate,
    }

    private enum Outcome
    {
        Freed,
        Keep,
        KeepLocked,
        ActivateLocked,

        /// <summary>To a slower node, with others.</summary>
        Demote,
    }

    /// <summary>Looks at pages at the end of an inactive list (<c>shrink_inactive_list()</c>).</summary>
    /// <returns>Pages freed.</returns>
    private long ShrinkInactive(Cpu cpu, NodeReclaimState state, LruVec vec, LruList list, long want, ScanControl sc)
    {
        bool file = list == LruList.InactiveFile;
        if (TooManyIsolated(state, file, sc))
        {
            Throttle(cpu, state.Node, ReclaimThrottleReason.Isolated);
            if (TooManyIsolated(state, file, sc))
            {
                return 0;
            }
        }

        _lru.Drain(cpu);
        LruManager.Isolation isolation = default;
        int entries = _lru.IsolateFrom(vec, list, want, sc.ReclaimIndex, sc.MayUnmap, sc.Pages, ref isolation);
        TraceIsolation(cpu, sc, list, want, isolation);
        _machine.Pressure.Stall(Costs.ScanNanoseconds * isolation.Scanned, full: !sc.IsKswapd && _machine.Cpus.Count == 1);
        Counts.CountScanned(vec, sc, isolation.Scanned, file);
        EntriesScanned += entries + isolation.Skipped;
        if (entries == 0)
        {
            return 0;
        }

        ScanFindings found = default;
        int kept = 0;
        int freed = 0;
        long reclaimed = ShrinkPages(cpu, state, sc, sc.Pages.AsSpan(0, entries), ref found, ref kept, ref freed);
        _lru.FreeUnreferenced(cpu, sc.Others.AsSpan(0, freed));
        _lru.PutBackAll(cpu, vec, sc.Kept.AsSpan(0, kept), out int unused);
        LruManager.EndIsolation(vec, file, isolation.Taken);
        _lru.FreeUnreferenced(cpu, sc.Kept.AsSpan(0, unused));

        Counts.CountStolen(vec, sc, reclaimed, file);
        vec.Counters.Add(LruVecCount.Activate, found.ActivatedAnon + found.ActivatedFile);
        if (found.PagedOut != 0)
        {
            vec.NoteCost(file, found.PagedOut);
        }

        if (found.UnqueuedDirty == isolation.Taken)
        {
            // Nothing but dirty pages that nobody writes: the flushers have fallen behind.
            WakeFlushers?.Invoke(cpu);
        }

        found.Taken = isolation.Taken;
        found.FileTaken = file ? isolation.Taken : 0;
        sc.Found.Add(found);
        _machine.Reclaim.Trace?.LruShrinkInactive(cpu, new LruShrinkInactiveEvent(
            state.Node.Id, isolation.Scanned, reclaimed, found.Dirty, found.Writeback, found.Congested, found.Immediate,
            found.ActivatedAnon, found.ActivatedFile, found.ReferencedKept, found.UnmapFailed, sc.Priority, file));
        return reclaimed;
    }

    /// <summary>Decides about each of some isolated pages (<c>shrink_folio_list()</c>).</summary>
    internal long ShrinkPages(Cpu cpu, NodeReclaimState state, ScanControl sc, ReadOnlySpan<int> pages, ref ScanFindings found, ref int kept, ref int freed)
    {
        Debug.Assert(kept == 0 && freed == 0 && sc.Demoted.Count == 0 && pages.Length <= sc.Kept.Length, "a pass begins with nothing decided, and has room for what it decides");
        long reclaimed = 0;
        sc.PartsFreed = 0;

        // Each pass says it anew: the last one on this CPU may have been for a cgroup that is gone.
        _lru.EvictFor(cpu, sc.Target ?? 0);

        // For page faults on other CPUs a page is reclaimed in one step: none meets it locked or half gone. Where there are none, one scope does for all.
        using OwnersLock.Scope all = _machine.IsParallel ? default : _machine.EnterOwners();
        bool demotes = sc.MayDemote && _machine.Migration.Tiers.CanDemote(state.Node);
        foreach (int pfn in pages)
        {
            reclaimed += ShrinkPage(cpu, state, sc, pfn, demotes, ref found, ref kept, ref freed);
        }

        if (sc.Demoted.Count != 0)
        {
            reclaimed += Demote(cpu, state, sc);

            // Those for which the slower nodes have no room are treated as if there were none.
            foreach (int pfn in sc.Demoted)
            {
                reclaimed += ShrinkPage(cpu, state, sc, pfn, demotes: false, ref found, ref kept, ref freed);
            }

            sc.Demoted.Clear();
        }

        _machine.DeviceWaits.SwapWrites.EndBatch();
        Count(VmEvent.Activate, found.ActivatedAnon + found.ActivatedFile);
        Debug.Assert(demotes ? kept + freed <= pages.Length : kept + freed == pages.Length, "each page in hand goes back or is free, or went to a slower node");
        return reclaimed + sc.PartsFreed;
    }

    /// <summary>Decides about a page, and notes what becomes of it.</summary>
    /// <returns>Pages freed.</returns>
    private long ShrinkPage(Cpu cpu, NodeReclaimState state, ScanControl sc, int pfn, bool demotes, ref ScanFindings found, ref int kept, ref int freed)
    {
        IPageOwners? owners = _machine.Lru.Owners;
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        long size = 1L << frame.Order;
        Debug.Assert(!frame.IsOnLru && frame.RefCount > 0, "a page in hand is on no list, and held");
        using OwnersLock.Scope one = _machine.IsParallel ? _machine.EnterOwners() : default;
        if (!TryLock(ref frame))
        {
            sc.Kept[kept++] = pfn;
            return 0;
        }

        sc.Scanned += size;
        Outcome outcome = owners is null ? Outcome.KeepLocked
            : !demotes && _lru.IsIdleCache(ref frame) ? FreeIdle(cpu, owners, sc, pfn, ref frame)
            : Judge(cpu, owners, state, sc, pfn, ref frame, demotes, ref found);
        switch (outcome)
        {
            case Outcome.Freed:
                Debug.Assert(frame.RefCount == 0 && frame.MapCount == 0 && !frame.IsLocked, "nobody has a page that is to be freed");
                _zoneScans[frame.ZoneId].LowestPriority = sc.Priority;
                _zones[frame.ZoneId].PagesScanned = 0;
                sc.Others[freed++] = pfn;
                return 1L << frame.Order;
            case Outcome.Demote:
                Unlock(ref frame);
                sc.Demoted.Add(pfn);
                return 0;
            case Outcome.ActivateLocked:
                if (!frame.IsMlocked)
                {
                    _lru.SetFlags(ref frame, PageFlags.Active);
                    bool isFile = !frame.IsSwapBacked;
                    found.ActivatedAnon += isFile ? 0 : size;
                    found.ActivatedFile += isFile ? size : 0;
                }

                Unlock(ref frame);
                break;
            case Outcome.KeepLocked:
                Unlock(ref frame);
                break;
            default:
                break;
        }

        sc.Kept[kept++] = pfn;
        return 0;
    }

    private Outcome Judge(Cpu cpu, IPageOwners owners, NodeReclaimState state, ScanControl sc, int pfn, ref PageFrame frame, bool demotes, ref ScanFindings found)
    {
        long size = 1L << frame.Order;
        if (!_lru.IsEvictable(pfn))
        {
            return Outcome.ActivateLocked;
        }

        if (!sc.MayUnmap && frame.MapCount != 0)
        {
            return Outcome.KeepLocked;
        }

        if (frame.Has(PageFlags.Dirty | PageFlags.Writeback))
        {
            CountDirt(frame, size, ref found);
        }

        if (frame.IsUnderWriteback)
        {
            return OfWriteback(state, sc, ref frame, ref found);
        }

        if (_lru.ByGeneration && !sc.IgnoresUse && frame.MapCount != 0 && frame.IsReferenced && _machine.Personality.Reclaim.Tiers == AccessTiers.BeyondFirst)
        {
            // A walk of page tables found it used when it was isolated already.
            return Outcome.KeepLocked;
        }

        Verdict verdict = sc.IgnoresUse ? Verdict.Reclaim : CheckReferences(cpu, owners, pfn, ref frame);
        if (verdict == Verdict.Activate)
        {
            return Outcome.ActivateLocked;
        }

        if (verdict == Verdict.Keep)
        {
            found.ReferencedKept += size;
            return Outcome.KeepLocked;
        }

        if (demotes && (frame.Order == 0 || _machine.Architecture.Bits == 64))
        {
            return Outcome.Demote;
        }

        if (frame.Order != 0 && frame.IsAnonymous && frame.IsSwapBacked)
        {
            return OfHuge(cpu, owners, state, sc, pfn, ref frame, ref found);
        }

        return WriteOrFree(cpu, owners, state, sc, pfn, verdict, ref found);
    }

    /// <summary>A page that nobody used lately: an anonymous one gets a swap slot, then it is unmapped, written if need be and freed, as far as that can be done now.</summary>
    private Outcome WriteOrFree(Cpu cpu, IPageOwners owners, NodeReclaimState state, ScanControl sc, int pfn, Verdict verdict, ref ScanFindings found)
    {
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        long size = 1L << frame.Order;
        bool anon = frame.IsAnonymous && frame.IsSwapBacked;
        if (anon && !frame.Has(PageFlags.OwnerPrivate1))
        {
            // A device may be writing to a pinned page.
            if ((sc.Gfp & Gfp.Io) == 0 || frame.MayBePinned)
            {
                return Outcome.KeepLocked;
            }

            if (!owners.AddToSwap(cpu, pfn))
            {
                return Outcome.ActivateLocked;
            }
        }

        if (frame.MapCount != 0 && !owners.TryToUnmap(cpu, pfn))
        {
            found.UnmapFailed += size;
            return Outcome.ActivateLocked;
        }

        return frame.IsDirty && WriteOut(cpu, owners, state, sc, pfn, verdict, ref found) is { } early
            ? early
            : Free(cpu, owners, pfn, ref frame);
    }

    /// <summary>A huge page of a process. To an area that has a whole cluster free all of it goes at once; else its parts are swapped out when reclaim comes round again.</summary>
    private Outcome OfHuge(Cpu cpu, IPageOwners owners, NodeReclaimState state, ScanControl sc, int pfn, ref PageFrame frame, ref ScanFindings found)
    {
        int order = frame.Order;
        int pages = 1 << order;
        bool isSized = order < _hugeOrder;
        bool writes = sc.MayWrite && (sc.Gfp & Gfp.Io) != 0;
        bool whole = writes && !owners.IsPartlyUnmapped(pfn) && (_machine.Swap.HasFreeCluster || (isSized && _machine.Personality.Reclaim.SwapsLargeAnywhere && _machine.SystemFigures.SwapFreePages >= pages));
        if (_machine.SystemFigures.SwapFreePages == 0 || !owners.SplitHuge(cpu, pfn, counts: !whole))
        {
            return Outcome.ActivateLocked;
        }

        owners.CountSwapOut(order, whole);
        if (!whole && !(isSized && writes))
        {
            return Outcome.KeepLocked;
        }

        // The parts take slots in their order.
        _ = owners.AddToSwap(cpu, pfn);
        Span<int> freed = stackalloc int[ScanControl.ClusterPages];
        int count = 0;
        for (int part = pfn + 1; part < pfn + pages; part++)
        {
            if (TrySwapPart(cpu, owners, state, sc, part, ref found))
            {
                freed[count++] = part;
                sc.PartsFreed++;
            }

            if (count == freed.Length)
            {
                _lru.FreeUnreferenced(cpu, freed);
                count = 0;
            }
        }

        _lru.FreeUnreferenced(cpu, freed[..count]);
        return WriteOrFree(cpu, owners, state, sc, pfn, Verdict.Reclaim, ref found);
    }

    /// <summary>Swaps a part of a huge page out that was just split: as all of it, nobody used it lately.</summary>
    /// <returns>Whether it can be freed now; else it is on its list again.</returns>
    private bool TrySwapPart(Cpu cpu, IPageOwners owners, NodeReclaimState state, ScanControl sc, int part, ref ScanFindings found)
    {
        ref PageFrame frame = ref _machine.Frames.Array[part];
        if (frame.RefCount == 0 || !_lru.Isolate(part))
        {
            return false;
        }

        if (TryLock(ref frame))
        {
            if (WriteOrFree(cpu, owners, state, sc, part, Verdict.Reclaim, ref found) == Outcome.Freed)
            {
                return true;
            }

            Unlock(ref frame);
        }

        _lru.PutBack(cpu, part);
        return false;
    }

    private static void CountDirt(in PageFrame frame, long size, ref ScanFindings found)
    {
        bool dirty = frame.IsDirty;
        bool writeback = frame.IsUnderWriteback;
        found.Dirty += dirty || writeback ? size : 0;
        found.UnqueuedDirty += dirty && !writeback ? size : 0;
        found.Congested += writeback && frame.IsToBeReclaimed ? size : 0;
    }

    /// <summary>A page that is being written: it comes to the back of the list when that ends.</summary>
    private Outcome OfWriteback(NodeReclaimState state, ScanControl sc, ref PageFrame frame, ref ScanFindings found)
    {
        if (sc.IsKswapd && frame.IsToBeReclaimed && state.ManyWriteback)
        {
            found.Immediate += 1L << frame.Order;
            return Outcome.ActivateLocked;
        }

        // Without cgroups nobody waits here for one page: writers are throttled where they write.
        _lru.SetFlags(ref frame, PageFlags.Reclaim);
        found.Writeback += 1L << frame.Order;
        return Outcome.ActivateLocked;
    }

    /// <summary>What use since the last look means (<c>folio_check_references()</c>).</summary>
    private Verdict CheckReferences(Cpu cpu, IPageOwners owners, int pfn, ref PageFrame frame)
    {
        PageReferences used = frame.MapCount != 0 ? owners.Referenced(cpu, pfn) : default;
        if (_lru.ByGeneration && _machine.Personality.Reclaim.Tiers == AccessTiers.WithWorkingSet)
        {
            return used.Locked ? Verdict.Activate
                : used.Count == 0 ? Verdict.Reclaim
                : _lru.NoteUse(ref frame, pfn) ? Verdict.Activate : Verdict.Keep;
        }

        bool file = !frame.IsSwapBacked;
        bool marked = frame.IsReferenced;
        if (marked)
        {
            _lru.ClearFlags(ref frame, PageFlags.Referenced);
        }

        if (used.Locked)
        {
            return Verdict.Activate;
        }

        if (used.Count != 0)
        {
            // One use gives another round on the inactive list; a second one within it, or by two mappings, activates.
            _lru.SetFlags(ref frame, PageFlags.Referenced);
            return marked || used.Count > 1 || (used.Executable && file) ? Verdict.Activate : Verdict.Keep;
        }

        return marked && file ? Verdict.ReclaimClean : Verdict.Reclaim;
    }

    /// <summary>Writes a dirty page, if this run may.</summary>
    /// <returns>Null when the page is clean now and can be freed.</returns>
    private Outcome? WriteOut(Cpu cpu, IPageOwners owners, NodeReclaimState state, ScanControl sc, int pfn, Verdict verdict, ref ScanFindings found)
    {
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        long size = 1L << frame.Order;
        bool file = !frame.IsSwapBacked;

        // Files are written by the flushers, in an order that suits the disk; only kswapd helps, and only when there are dirty pages everywhere.
        if (file && !(sc.IsKswapd && frame.IsToBeReclaimed && state.ManyDirty))
        {
            state.Node.Counters.VmscanImmediateReclaim += size;
            _lru.SetFlags(ref frame, PageFlags.Reclaim);
            return Outcome.ActivateLocked;
        }

        if (verdict == Verdict.ReclaimClean || !sc.MayEnterFileSystem(frame) || !sc.MayWrite)
        {
            return Outcome.KeepLocked;
        }

        switch (owners.PageOut(cpu, pfn))
        {
            case PageOutOutcome.Keep:
                return Outcome.KeepLocked;
            case PageOutOutcome.Activate:
                return Outcome.ActivateLocked;
            case PageOutOutcome.Clean:
                return null;
        }

        found.PagedOut += size;
        state.Node.Counters.VmscanWrite += size;
        _machine.Reclaim.Trace?.WriteFolio(cpu, pfn, file);
        return frame.Has(PageFlags.Writeback | PageFlags.Dirty) ? Outcome.KeepLocked : null;
    }

    /// <summary>What <see cref="Judge"/> comes to for a page of a file that is clean and mapped nowhere: use through a file descriptor since the last look spares it a write, no more.</summary>
    private Outcome FreeIdle(Cpu cpu, IPageOwners owners, ScanControl sc, int pfn, ref PageFrame frame)
    {
        if (!sc.IgnoresUse && frame.IsReferenced)
        {
            _lru.ClearFlags(ref frame, PageFlags.Referenced);
        }

        return Free(cpu, owners, pfn, ref frame);
    }

    private Outcome Free(Cpu cpu, IPageOwners owners, int pfn, ref PageFrame frame)
    {
        bool lazy = frame.IsAnonymous && !frame.IsSwapBacked;
        if (lazy)
        {
            if (frame.IsDirty || !_lru.TryTakeLastReference(pfn))
            {
                return Outcome.KeepLocked;
            }

            Count(VmEvent.LazyFreed, 1L << frame.Order);
            _lru.OfPage(pfn).Counters.Add(LruVecCount.LazyFreed, 1L << frame.Order);
        }
        else if ((frame.Mapping == 0 && !frame.InSwapCache) || !owners.RemoveFromCache(cpu, pfn))
        {
            return Outcome.KeepLocked;
        }
        else if (!_lru.TryTakeLastReference(pfn))
        {
            // Out of the cache, but somebody got hold of it at the last moment: he frees it.
            return Outcome.KeepLocked;
        }

        Unlock(ref frame);
        return Outcome.Freed;
    }

    /// <summary>A page of the swap cache may have no mapping: read ahead, or once shared memory.</summary>
    private bool TryLock(ref PageFrame frame) => frame.TryLock(_machine.IsParallel);

    private void Unlock(ref PageFrame frame) => frame.Unlock(_machine.IsParallel);

    /// <summary>Whether so many pages are off their lists that reclaimers would only get in each other's way (<c>too_many_isolated()</c>).</summary>
    private static bool TooManyIsolated(NodeReclaimState state, bool file, ScanControl sc)
    {
        if (sc.IsKswapd)
        {
            return false;
        }

        NodeCounters counters = state.Node.Counters;
        long inactive = file ? counters.InactiveFile : counters.InactiveAnon;
        long isolated = file ? counters.IsolatedFile : counters.IsolatedAnon;

        // Those who may do everything leave room for those who may not.
        return isolated > ((sc.Gfp & (Gfp.Io | Gfp.Fs)) == (Gfp.Io | Gfp.Fs) ? inactive >> 3 : inactive);
    }

    private void Count(VmEvent e, long pages)
    {
        if (pages != 0)
        {
            _machine.Events.Count(e, pages);
        }
    }

    private void TraceIsolation(Cpu cpu, ScanControl sc, LruList list, long want, in LruManager.Isolation isolation) =>
        _machine.Reclaim.Trace?.LruIsolate(cpu, new LruIsolateEvent(sc.ReclaimIndex, sc.Order, want, isolation.Scanned, isolation.Skipped, isolation.Taken, !sc.MayUnmap, (int)list));
}
