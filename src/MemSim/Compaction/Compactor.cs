using System.Diagnostics;
using MemSim.Migration;
using MemSim.PageAllocation;
using MemSim.Pages;
using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim.Compaction;

/// <summary>Makes large free blocks by moving pages: used pages from the start of a zone into free ones at its end, until the two scanners meet.</summary>
/// <remarks>Kernel 6.1: <c>mm/compaction.c</c>. Only one CPU compacts a zone at a time here; a second one finds it contended.</remarks>
internal sealed partial class Compactor : ICompactor
{
    /// <summary>After this many doublings the time for which a zone is left alone no longer grows (<c>COMPACT_MAX_DEFER_SHIFT</c>).</summary>
    public const int MaxDeferShift = 6;

    private readonly Machine _machine;
    private readonly MigrationScanner _source;
    private readonly FreeScanner _target;
    private readonly PageMigrator _migrator;
    private readonly int[] _captured;
    private readonly ZoneScanners?[] _scanners;
    private Kcompactd?[] _daemons = [];

    public Compactor(Machine machine)
    {
        _machine = machine;
        _migrator = machine.Migration.Migrator;
        _captured = new int[machine.Cpus.Count];
        Array.Fill(_captured, -1);
        _scanners = new ZoneScanners?[machine.Zones.Count];
        _source = new MigrationScanner(machine);
        _target = new FreeScanner(machine);
    }

    /// <summary>What is remembered of a zone, from now on if it was not before.</summary>
    public ZoneScanners ScannersOf(Zone zone) => _scanners[zone.Id] ??= new ZoneScanners(zone);

    /// <summary>What is remembered of a zone; null while compaction never ran there.</summary>
    public ZoneScanners? KnownScannersOf(Zone zone) => _scanners[zone.Id];

    /// <summary>Memory was added to a zone.</summary>
    public void SpanChanged(Zone zone) => _scanners[zone.Id]?.SpanChanged(zone);

    /// <summary>Compacts in the context of a request (<c>try_to_compact_pages()</c>).</summary>
    public CompactionOutcome TryToCompact(in ReclaimRequest request, CompactionPriority priority)
    {
        Cpu cpu = request.Cpu;
        if ((request.Gfp & Gfp.Io) == 0 || request.Order <= 0)
        {
            return CompactionOutcome.Skipped;
        }

        _machine.Migration.Trace?.MmCompactionTryToCompactPages(cpu, request.Order, request.Gfp, priority);
        CompactionStatus result = CompactionStatus.Skipped;
        foreach (Zone zone in request.Zones)
        {
            if (zone.Index > request.HighestZoneIndex || !request.Allows(zone))
            {
                continue;
            }

            if (priority > CompactionPriority.SyncFull && IsDeferred(cpu, zone, request.Order))
            {
                result = Max(result, CompactionStatus.Deferred);
                continue;
            }

            CompactControl cc = new(zone, ScannersOf(zone), request.Order)
            {
                Gfp = request.Gfp,
                Mode = priority == CompactionPriority.Async ? MigrationMode.Async : MigrationMode.SyncLight,
                AllocFlags = FlagsOf(request),
                HighestZoneIndex = request.HighestZoneIndex,
                Direct = true,
                Capture = new PageCapture(cpu, request.Order),
                WholeZone = priority == CompactionPriority.SyncFull,
                IgnoreSkipHint = priority == CompactionPriority.SyncFull,
                IgnoreBlockSuitable = priority == CompactionPriority.SyncFull,
            };
            CompactionStatus status = CompactZone(cpu, cc);
            if (cc.Capture.Pfn >= 0)
            {
                _captured[cpu.Id] = cc.Capture.Pfn;
                status = CompactionStatus.Success;
            }

            result = Max(result, status);
            if (status == CompactionStatus.Success)
            {
                ResetDeferral(cpu, zone, request.Order, allocated: false);
                break;
            }

            if (priority != CompactionPriority.Async && status is CompactionStatus.Complete or CompactionStatus.PartialSkipped)
            {
                Defer(cpu, zone, request.Order);
            }
        }

        if (result != CompactionStatus.Skipped)
        {
            _machine.Events.Count(VmEvent.CompactStall);
        }

        return result switch
        {
            CompactionStatus.Skipped => CompactionOutcome.Skipped,
            CompactionStatus.Deferred => CompactionOutcome.Deferred,
            CompactionStatus.Contended => CompactionOutcome.Contended,
            CompactionStatus.Success => CompactionOutcome.Success,
            CompactionStatus.PartialSkipped => CompactionOutcome.PartialSkipped,
            _ => CompactionOutcome.Complete,
        };
    }

    /// <summary>The block that the last direct run on a CPU caught for its request, which has to take it.</summary>
    /// <returns>Its first frame; -1 when there is none.</returns>
    public int TakeCaptured(Cpu cpu)
    {
        int pfn = _captured[cpu.Id];
        _captured[cpu.Id] = -1;
        return pfn;
    }

    /// <summary>To be told whether the request that compacted got its block afterwards.</summary>
    public void AfterDirect(Cpu cpu, int order, int pfn)
    {
        _machine.Events.Count(pfn >= 0 ? VmEvent.CompactSuccess : VmEvent.CompactFail);
        if (pfn >= 0)
        {
            Zone zone = _machine.Zones[_machine.Frames.Array[pfn].ZoneId];
            ScannersOf(zone).FlushSkipBits = false;
            ResetDeferral(cpu, zone, order, allocated: true);
        }
    }

    /// <summary>Compacts all zones of a node completely, as a write to <c>compact_memory</c> does.</summary>
    public void CompactNode(Cpu cpu, Node node)
    {
        foreach (Zone zone in node.Zones)
        {
            if (zone.IsPopulated && zone.Type != ZoneType.Device)
            {
                CompactZone(cpu, new CompactControl(zone, ScannersOf(zone), CompactControl.NoGoal) { Mode = MigrationMode.Sync, IgnoreSkipHint = true, WholeZone = true });
            }
        }
    }

    /// <summary>Compacts a node until its fragmentation score is low enough.</summary>
    public void CompactProactively(Cpu cpu, Node node)
    {
        foreach (Zone zone in node.Zones)
        {
            if (!zone.IsPopulated || zone.Type == ZoneType.Device)
            {
                continue;
            }

            CompactControl cc = new(zone, ScannersOf(zone), CompactControl.NoGoal) { Mode = MigrationMode.SyncLight, IgnoreSkipHint = true, WholeZone = true, Proactive = true };
            CompactZone(cpu, cc);
            CountDaemon(cc);
        }
    }

    public void CountDaemon(CompactControl cc)
    {
        _machine.Events.Count(VmEvent.CompactDaemonMigrateScanned, cc.MigrateScanned);
        _machine.Events.Count(VmEvent.CompactDaemonFreeScanned, cc.FreeScanned);
    }

    /// <summary>The node's kcompactd.</summary>
    public Kcompactd Daemon(Node node)
    {
        if (_daemons.Length <= node.Id)
        {
            Array.Resize(ref _daemons, node.Id + 1);
        }

        return _daemons[node.Id] ??= new Kcompactd(_machine, this, node);
    }

    /// <summary>Asks a node's kcompactd for a block (<c>wakeup_kcompactd()</c>): what kswapd does when it goes to sleep.</summary>
    public void WakeDaemon(Cpu cpu, Node node, int order, int highestZoneIndex) => Daemon(node).Wake(cpu, order, highestZoneIndex);

    /// <summary>Clears the skip bits of a node's zones where a direct run found nothing left: what kswapd does before it sleeps (<c>reset_isolation_suitable()</c>).</summary>
    public void ResetSkipBits(Node node)
    {
        foreach (Zone zone in node.Zones)
        {
            if (zone.IsPopulated && KnownScannersOf(zone) is { FlushSkipBits: true })
            {
                ResetSkipBits(zone);
            }
        }
    }

    /// <summary>One run over one zone (<c>compact_zone()</c>).</summary>
    public CompactionStatus CompactZone(Cpu cpu, CompactControl cc)
    {
        Zone zone = cc.Zone;
        CompactionStatus suitable = Suitability.Of(cpu, zone, cc.Order, cc.AllocFlags, cc.HighestZoneIndex);
        if (suitable is CompactionStatus.Success or CompactionStatus.Skipped)
        {
            return suitable;
        }

        ZoneScanners state = ScannersOf(zone);
        if (!state.TryEnter())
        {
            return CompactionStatus.Contended;
        }

        SetCapture(zone, cc.Capture);
        try
        {
            return Run(cpu, cc, state);
        }
        catch when (cc.Capture is { Pfn: >= 0 })
        {
            // A trace sink or an owner of pages threw: nobody will come for the block.
            SetCapture(zone, null);
            _machine.Pages.FreeCaptured(cpu, cc.Capture.Pfn, cc.Order);
            throw;
        }
        finally
        {
            SetCapture(zone, null);
            state.Leave();
        }
    }

    private static void SetCapture(Zone zone, PageCapture? capture)
    {
        zone.EnterLock();
        Debug.Assert(capture is null || zone.Capture is null, "one request at a time waits for a block");
        zone.Capture = capture;
        zone.CaptureOrder = capture?.Order ?? -1;
        zone.ExitLock();
    }

    private CompactionStatus Run(Cpu cpu, CompactControl cc, ZoneScanners state)
    {
        Debug.Assert(state.IsBusy && cc.MigratePages.Count == 0 && cc.FreePages.Count == 0, "one CPU compacts a zone, and begins with nothing in hand");
        if (cc.Order >= state.OrderFailed && state.DeferShift == MaxDeferShift && state.Considered >= 1 << MaxDeferShift)
        {
            // Put off as long as possible: whatever was skipped may be different now.
            ResetSkipBits(cc.Zone);
        }

        Position(cc, state);
        bool updateCached = cc.Mode == MigrationMode.Async && state.CachedMigratePfnAsync == state.CachedMigratePfnSync;
        _machine.Migration.Trace?.MmCompactionBegin(cpu, cc.Start, cc.MigratePfn, cc.FreePfn, cc.End, cc.IsSync);
        _migrator.DrainLru(cpu);
        ScannerTargets targets = new(this, cc);
        CompactionStatus status;
        while ((status = Finished(cpu, cc, state)) == CompactionStatus.Continue)
        {
            int start = cc.MigratePfn;

            // A block that was not finished at one go is finished now, so that it can be marked.
            cc.FinishPageblock = cc.BlockStart(cc.LastMigratedPfn) == cc.BlockStart(start);
            MigrationScanner.Outcome outcome = _source.Scan(cpu, cc);
            if (outcome == MigrationScanner.Outcome.Abort)
            {
                _migrator.PutBackAll(cpu, cc.MigratePages);
                status = CompactionStatus.Contended;
                break;
            }

            if (outcome == MigrationScanner.Outcome.None)
            {
                if (updateCached)
                {
                    state.CachedMigratePfnSync = state.CachedMigratePfnAsync;
                }
            }
            else
            {
                updateCached = false;
                cc.LastMigratedPfn = start;
                if (!Migrate(cpu, cc, targets))
                {
                    status = CompactionStatus.Contended;
                    break;
                }
            }

            DrainAfterBlock(cpu, cc);
            if (cc.Capture is { Pfn: >= 0 })
            {
                status = CompactionStatus.Success;
                break;
            }
        }

        End(cpu, cc, state);
        _machine.Migration.Trace?.MmCompactionEnd(cpu, cc.Start, cc.MigratePfn, cc.FreePfn, cc.End, cc.IsSync, status);
        return status;
    }

    /// <summary>Where the scanners start: at the ends of the zone, or where they stopped the last time.</summary>
    private static void Position(CompactControl cc, ZoneScanners state)
    {
        int lastBlock = cc.BlockStart(cc.End - 1);
        if (cc.WholeZone)
        {
            cc.MigratePfn = cc.Start;
            cc.FreePfn = lastBlock;
            return;
        }

        cc.MigratePfn = cc.IsSync ? state.CachedMigratePfnSync : state.CachedMigratePfnAsync;
        cc.FreePfn = state.CachedFreePfn;
        if (cc.FreePfn < cc.Start || cc.FreePfn >= cc.End)
        {
            cc.FreePfn = state.CachedFreePfn = lastBlock;
        }

        if (cc.MigratePfn < cc.Start || cc.MigratePfn >= cc.End)
        {
            cc.MigratePfn = state.CachedMigratePfnAsync = state.CachedMigratePfnSync = cc.Start;
        }

        cc.WholeZone |= cc.MigratePfn <= state.InitMigratePfn;
        Debug.Assert(cc.MigratePfn >= cc.Start && cc.MigratePfn < cc.End && cc.FreePfn >= cc.BlockStart(cc.Start) && cc.FreePfn < cc.End, "both scanners are in the zone");
    }

    /// <summary>Moves what was isolated.</summary>
    /// <returns>False when there is nowhere to move pages to although the scanners have not met.</returns>
    private bool Migrate(Cpu cpu, CompactControl cc, ScannerTargets targets)
    {
        MigrationResult result = _migrator.Migrate(cpu, cc.MigratePages, targets, cc.Mode, MigrationReason.Compaction);
        _machine.Migration.Trace?.MmCompactionMigratePages(cpu, result.Succeeded, cc.MigratePages.Count);
        if (cc.MigratePages.Count == 0)
        {
            return true;
        }

        _migrator.PutBackAll(cpu, cc.MigratePages);
        if (result.NoMemory && !cc.ScannersMet)
        {
            return false;
        }

        if (cc.Direct && cc.Mode == MigrationMode.Async)
        {
            // One page stayed: the block of the order cannot be made here any more.
            cc.MigratePfn = ((cc.MigratePfn - 1) & ~((1 << cc.Order) - 1)) + (1 << cc.Order);
            cc.LastMigratedPfn = 0;
        }

        return true;
    }

    /// <summary>Once a block of the order was cleared, the pages freed there must leave the per-CPU lists to merge.</summary>
    private void DrainAfterBlock(Cpu cpu, CompactControl cc)
    {
        if (cc.Order > 0 && cc.LastMigratedPfn != 0 && cc.LastMigratedPfn < (cc.MigratePfn & ~((1 << cc.Order) - 1)))
        {
            _migrator.DrainLru(cpu);
            _machine.Pages.DrainAll(cpu, cpu.Lists.Pcp[cc.Zone.Id]);
            cc.LastMigratedPfn = 0;
        }
    }

    private void End(Cpu cpu, CompactControl cc, ZoneScanners state)
    {
        Debug.Assert(cc.MigratePages.Count == 0, "what was isolated was moved or is back");
        if (cc.FreePages.Count != 0)
        {
            // The next run may find these again.
            int highest = cc.BlockStart(_target.Release(cpu, cc));
            state.CachedFreePfn = Math.Max(state.CachedFreePfn, highest);
        }

        _machine.Events.Count(VmEvent.CompactMigrateScanned, cc.MigrateScanned);
        _machine.Events.Count(VmEvent.CompactFreeScanned, cc.FreeScanned);
    }

    private CompactionStatus Finished(Cpu cpu, CompactControl cc, ZoneScanners state)
    {
        CompactionStatus status = Look(cc, state);
        _machine.Migration.Trace?.MmCompactionFinished(cpu, cc.Zone, cc.Order, status);
        return status == CompactionStatus.NoSuitablePage ? CompactionStatus.Continue : status;
    }

    private CompactionStatus Look(CompactControl cc, ZoneScanners state)
    {
        if (cc.ScannersMet)
        {
            state.CachedMigratePfnAsync = state.CachedMigratePfnSync = cc.Start;
            state.CachedFreePfn = cc.BlockStart(cc.End - 1);
            state.FlushSkipBits |= cc.Direct;
            return cc.WholeZone ? CompactionStatus.Complete : CompactionStatus.PartialSkipped;
        }

        if (cc.Proactive)
        {
            return (cc.Zone.Flags & ZoneFlags.ReclaimActive) != 0 ? CompactionStatus.PartialSkipped
                : Suitability.Fragmentation(cc.Zone) > Suitability.ScoreMarks(_machine).Low ? CompactionStatus.Continue : CompactionStatus.Success;
        }

        if (cc.Order == CompactControl.NoGoal || !cc.IsBlockAligned(cc.MigratePfn))
        {
            return CompactionStatus.Continue;
        }

        return Suitability.HasBlock(cc) ? CompactionStatus.Success : cc.Contended ? CompactionStatus.Contended : CompactionStatus.NoSuitablePage;
    }

    /// <summary>Clears the skip bits of the blocks that have something to move or something free, and starts over at the outermost of them.</summary>
    private void ResetSkipBits(Zone zone)
    {
        ZoneScanners state = ScannersOf(zone);
        int step = 1 << zone.PageblockOrder;
        int start = (int)zone.StartPfn.Value;
        int end = (int)zone.EndPfn.Value;
        int lastBlock = (end - 1) & ~(step - 1);
        int lowest = -1;
        int highest = -1;
        state.FlushSkipBits = false;
        for (int block = start; block < end; block = (block & ~(step - 1)) + step)
        {
            int blockEnd = Math.Min((block & ~(step - 1)) + step, end);
            if (!_source.IsWholeBlock(zone, block, blockEnd) || !IsWorthALook(zone, block, blockEnd, out bool used, out bool free))
            {
                continue;
            }

            state.Unskip(block);
            lowest = used && lowest < 0 ? block : lowest;
            highest = free ? block : highest;
        }

        if (lowest < 0 || highest < 0 || lowest >= highest)
        {
            (lowest, highest) = (start, lastBlock);
        }

        state.InitMigratePfn = state.CachedMigratePfnAsync = state.CachedMigratePfnSync = lowest;
        state.InitFreePfn = state.CachedFreePfn = highest;
    }

    private bool IsWorthALook(Zone zone, int start, int end, out bool used, out bool free)
    {
        FrameArray frames = _machine.Frames.Array;
        used = false;
        free = false;
        if (zone.BlockType(start) == (int)MigrateType.Isolate || _machine.Frames.Untouched.Covers(start))
        {
            return false;
        }

        for (int pfn = start; pfn < end && !(used && free);)
        {
            ref PageFrame frame = ref frames[pfn];
            free |= frame.IsBuddy && frame.Private < zone.PageblockOrder && zone.BlockType(start) is (int)MigrateType.Movable or (int)MigrateType.Cma;
            used |= frame.RefCount != 0 && (frame.IsOnLru || _migrator.IsMovable(pfn));
            pfn += frame.IsBuddy ? 1 << frame.Private : frame.RefCount != 0 ? 1 << frame.Order : 1;
        }

        return used || free;
    }

    private static AllocFlags FlagsOf(in ReclaimRequest request) => PageAllocator.FlagsOf(new Request(request.Cpu, request.Cpu.Lists.Zonelists[0], request.Gfp, request.Order));

    private static CompactionStatus Max(CompactionStatus a, CompactionStatus b) => a > b ? a : b;

    /// <summary>The free scanner as a source of pages to move to.</summary>
    private sealed class ScannerTargets(Compactor compactor, CompactControl cc) : IMigrationTargets
    {
        public int Take(Cpu cpu, int from, int order)
        {
            if (cc.FreePages.Count == 0)
            {
                compactor._target.Scan(cpu, cc);
                if (cc.FreePages.Count == 0)
                {
                    return -1;
                }
            }

            int pfn = cc.FreePages[^1];
            cc.FreePages.RemoveAt(cc.FreePages.Count - 1);
            return pfn;
        }

        public void GiveBack(Cpu cpu, int pfn) => cc.FreePages.Add(pfn);
    }
}
