using System.Diagnostics;
using MemSim.Migration;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.Compaction;

/// <summary>The scanner that goes up through a zone and isolates pages to be moved.</summary>
/// <remarks>Kernel 6.1: <c>isolate_migratepages()</c>. Frames inside a block that was allocated as one are passed in one step but counted one by one, as the kernel meets them.</remarks>
internal sealed class MigrationScanner
{
    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly PageMigrator _migrator;

    public MigrationScanner(Machine machine)
    {
        _machine = machine;
        _frames = machine.Frames.Array;
        _migrator = machine.Migration.Migrator;
    }

    /// <summary>What a call of the scanner came to.</summary>
    public enum Outcome
    {
        /// <summary>Somebody else is in the way.</summary>
        Abort,

        /// <summary>Nothing was isolated.</summary>
        None,

        /// <summary>There are pages to move.</summary>
        Isolated,
    }

    /// <summary>Isolates pages of the next page block worth it.</summary>
    public Outcome Scan(Cpu cpu, CompactControl cc)
    {
        int low = FastFindBlock(cc);
        bool fast = low != cc.MigratePfn && cc.FastSearchFails == 0;
        int blockStart = Math.Max(cc.BlockStart(low), cc.Start);
        for (int blockEnd = cc.BlockEnd(low); blockEnd <= cc.FreePfn; fast = false, low = blockStart = blockEnd, cc.MigratePfn = low, blockEnd += cc.PageblockPages)
        {
            if (!IsWholeBlock(cc.Zone, blockStart, blockEnd))
            {
                continue;
            }

            bool entering = cc.IsBlockAligned(low) || low == cc.Start;
            if (entering && !fast && !MayIsolate(cc, blockStart))
            {
                continue;
            }

            if (!IsSource(cc, blockStart))
            {
                UpdateCached(cc, blockEnd);
                continue;
            }

            if (!ScanBlock(cpu, cc, low, blockEnd, MayMoveUnevictable(cc)))
            {
                return Outcome.Abort;
            }

            break;
        }

        return cc.MigratePages.Count != 0 ? Outcome.Isolated : Outcome.None;
    }

    /// <summary>Isolates what can be moved in a part of a page block, at most a cluster unless the block is to be finished.</summary>
    /// <returns>False when the caller should give up because too much is isolated already.</returns>
    public bool ScanBlock(Cpu cpu, CompactControl cc, int start, int end, bool unevictable)
    {
        if (cc.Mode == MigrationMode.Async && TooManyIsolated(cc.Zone.Node))
        {
            cc.Contended = true;
            return false;
        }

        // What an asynchronous request needs is one block of its order: a page that stays makes its whole block useless.
        bool skipOnFailure = cc.Direct && cc.Mode == MigrationMode.Async;
        int nextSkip = skipOnFailure ? OrderEnd(start, cc.Order) : 0;
        ZoneScanners state = cc.Scanners;
        int validBlock = -1;
        bool skipUpdated = false;
        long scanned = 0;
        int isolated = 0;
        int pfn = start;
        int before = cc.MigratePages.Count;
        Debug.Assert(start <= end && (before == 0 || !skipOnFailure), "what another block gave stays in hand only where nothing is put back");
        _machine.Frames.Untouched.TouchAll(start, end);
        while (pfn < end)
        {
            if (skipOnFailure && pfn >= nextSkip)
            {
                if (isolated != 0)
                {
                    break;
                }

                nextSkip = OrderEnd(pfn, cc.Order);
            }

            scanned++;
            if (validBlock < 0 && cc.IsBlockAligned(pfn))
            {
                if (!MayIsolate(cc, pfn))
                {
                    pfn = end;
                    break;
                }

                validBlock = pfn;
            }

            ref PageFrame frame = ref _frames[pfn];
            if (frame.IsBuddy)
            {
                pfn += 1 << frame.Private;
                continue;
            }

            int pages = 1;
            bool taken = false;
            if (frame.RefCount != 0)
            {
                pages = 1 << frame.Order;
                bool compound = frame.IsCompoundHead;
                if (pages > 1 && !compound)
                {
                    // The frames behind it look like free pages of no list: each is looked at and passed.
                    scanned += Math.Min(pages, end - pfn) - 1;
                }
                else if (!compound || cc.AllocContig)
                {
                    taken = TryIsolate(cpu, cc, pfn, unevictable);
                }
            }

            if (taken)
            {
                if (!skipUpdated && !_migrator.IsMovable(pfn))
                {
                    // The first page of the block that needed the list lock: blocks are marked when they are entered, so that concurrent scanners go elsewhere.
                    skipUpdated = true;
                    if (!cc.IgnoreSkipHint && cc.IsBlockAligned(pfn) && !cc.NoSetSkipHint)
                    {
                        state.Skip(pfn);
                    }
                }

                Debug.Assert(frame.RefCount > 0 && (_migrator.IsMovable(pfn) ? frame.IsToBeReclaimed : !frame.IsOnLru), "an isolated page is held, and on no list");
                cc.MigratePages.Add(pfn);
                isolated += pages;
                pfn += pages;
                if (cc.MigratePages.Count >= CompactControl.Cluster && !cc.FinishPageblock && !cc.Contended)
                {
                    break;
                }

                continue;
            }

            pfn += pages;
            if (!skipOnFailure)
            {
                continue;
            }

            if (isolated != 0)
            {
                _migrator.PutBackAll(cpu, cc.MigratePages);
                isolated = 0;
            }

            if (pfn - 1 < nextSkip)
            {
                pfn = nextSkip;
                nextSkip += 1 << cc.Order;
            }
        }

        Debug.Assert(cc.MigratePages.Count - before <= isolated && (isolated == 0) == (cc.MigratePages.Count == before), "what was isolated is in the list");
        pfn = Math.Min(pfn, end);
        if (pfn == end && (isolated == 0 || cc.FinishPageblock))
        {
            if (validBlock >= 0 && !skipUpdated && !cc.NoSetSkipHint)
            {
                state.Skip(validBlock);
            }

            UpdateCached(cc, pfn);
        }

        _machine.Migration.Trace?.MmCompactionIsolateMigratePages(cpu, start, pfn, scanned, isolated);
        cc.MigrateScanned += scanned;
        _machine.Events.Count(VmEvent.CompactIsolated, isolated);
        cc.MigratePfn = pfn;
        return true;
    }

    /// <summary>Whether the ends of a page block are memory of the zone.</summary>
    public bool IsWholeBlock(Zone zone, int start, int end) =>
        zone.PageblockTypes[(start >> zone.PageblockOrder) - (int)zone.FirstPageblock] != Zone.NoPageblock
        && ReferenceEquals(_machine.ZoneTable.ZoneOf(start), zone) && ReferenceEquals(_machine.ZoneTable.ZoneOf(end - 1), zone);

    public static bool MayIsolate(CompactControl cc, int pfn) => cc.IgnoreSkipHint || !cc.Scanners.IsSkipped(pfn);

    private bool MayMoveUnevictable(CompactControl cc) => cc.AllocContig || _machine.Settings.Sysctls.CompactUnevictableAllowed;

    private bool TryIsolate(Cpu cpu, CompactControl cc, int pfn, bool unevictable)
    {
        ref PageFrame frame = ref _frames[pfn];
        PageFlags flags = frame.StoredFlags;
        if (frame.ZoneId != cc.Zone.Id)
        {
            return false;
        }

        if ((flags & PageFlags.Lru) == 0)
        {
            return _migrator.IsMovable(pfn) && (flags & PageFlags.Reclaim) == 0 && _migrator.IsolateMovable(cpu, pfn);
        }

        bool anonymous = frame.IsAnonymous;
        bool swapCache = frame.InSwapCache;
        if ((frame.Mapping == 0 || (anonymous && !swapCache)) && frame.RefCount > frame.MapCount)
        {
            // Somebody holds the page besides its page tables: it could not be moved.
            return false;
        }

        if (frame.Mapping != 0 && !anonymous && (cc.Gfp & Gfp.Fs) == 0)
        {
            return false;
        }

        if (cc.Mode == MigrationMode.Async && (flags & PageFlags.Writeback) != 0)
        {
            return false;
        }

        return ((flags & PageFlags.Unevictable) == 0 || unevictable) && _migrator.IsolateLru(pfn);
    }

    private static bool TooManyIsolated(Node node)
    {
        NodeCounters counters = node.Counters;
        long inactive = counters.InactiveAnon + counters.InactiveFile;
        long active = counters.ActiveAnon + counters.ActiveFile;
        return counters.IsolatedAnon + counters.IsolatedFile > (inactive + active) / 2;
    }

    /// <summary>Whether pages of a block may be moved for this request: an asynchronous one only clears blocks of its own kind.</summary>
    private bool IsSource(CompactControl cc, int blockStart)
    {
        _machine.Frames.Untouched.Touch(blockStart);
        ref PageFrame frame = ref _frames[blockStart];
        if (frame.RefCount != 0 && frame.IsCompoundHead && frame.Order >= cc.Zone.PageblockOrder)
        {
            return false;
        }

        if (cc.Mode != MigrationMode.Async || !cc.Direct)
        {
            return true;
        }

        int type = cc.Zone.BlockType(blockStart);
        return cc.Type == (int)MigrateType.Movable ? type is (int)MigrateType.Movable or (int)MigrateType.Cma : type == cc.Type;
    }

    private static void UpdateCached(CompactControl cc, int pfn)
    {
        if (cc.NoSetSkipHint)
        {
            return;
        }

        // 6.1 rounds a position at the end of a block up once more.
        pfn = cc.BlockEnd(pfn);
        ZoneScanners state = cc.Scanners;
        state.CachedMigratePfnAsync = Math.Max(state.CachedMigratePfnAsync, pfn);
        if (cc.IsSync)
        {
            state.CachedMigratePfnSync = Math.Max(state.CachedMigratePfnSync, pfn);
        }
    }

    /// <summary>Looks for a page block near the scanner that has free pages already, so that little has to be moved to clear it.</summary>
    private int FastFindBlock(CompactControl cc)
    {
        int at = cc.MigratePfn;
        Zone zone = cc.Zone;
        bool atStart = at == cc.Start;
        if (cc.IgnoreSkipHint || cc.FinishPageblock || (!atStart && !cc.IsBlockAligned(at)) || cc.Order <= PageGeometry.CostlyOrder
            || (cc.Direct && cc.Type != (int)MigrateType.Movable))
        {
            return at;
        }

        // From the start of the zone anywhere in the lower half of what is left, later in its first eighth.
        int distance = (cc.FreePfn - at) >> (atStart ? 1 : 3);
        int high = cc.BlockStart(at + distance);
        int limit = cc.FreelistScanLimit;
        int scanned = 0;
        ZoneScanners state = cc.Scanners;
        for (int order = cc.Order - 1; order >= PageGeometry.CostlyOrder && scanned < limit; order--)
        {
            zone.EnterLock();
            int head = zone.FreeArea.Head(order, (int)MigrateType.Movable);
            for (int pfn = _frames[head].Next; pfn != head; pfn = _frames[pfn].Next)
            {
                if (scanned++ >= limit)
                {
                    RotateAfter(head, pfn);
                    break;
                }

                if (pfn < high && !state.IsSkipped(pfn))
                {
                    RotateAfter(head, pfn);
                    zone.ExitLock();
                    cc.FastStartPfn = cc.FastStartPfn == 0 ? pfn : cc.FastStartPfn < 0 ? -1 : Math.Min(cc.FastStartPfn, pfn);
                    cc.FastSearchFails = 0;
                    state.Skip(pfn);
                    cc.MigrateScanned += scanned;
                    return Math.Max(cc.BlockStart(pfn), cc.Start);
                }
            }

            zone.ExitLock();
        }

        cc.MigrateScanned += scanned;
        cc.FastSearchFails++;
        if (cc.FastStartPfn <= 0)
        {
            return at;
        }

        // Nothing found: scan on from the lowest page an earlier search found.
        int restart = cc.FastStartPfn;
        cc.FastStartPfn = -1;
        cc.MigratePfn = restart;
        return restart;
    }

    /// <summary>Turns a list so that a member is its last: a later search does not see the same members first.</summary>
    private void RotateAfter(int head, int pfn)
    {
        _frames.Remove(head);
        _frames.AddFirst(pfn, head);
    }

    private static int OrderEnd(int pfn, int order) => (pfn & ~((1 << order) - 1)) + (1 << order);
}
