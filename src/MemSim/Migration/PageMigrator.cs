using System.Diagnostics;
using MemSim.Lru;
using MemSim.PageCache;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.Migration;

/// <summary>Moves pages to other frames without their owners noticing: identity, contents, references and mappings go along.</summary>
/// <remarks>Kernel 6.1: <c>migrate_pages()</c>. In this simulation nobody ever holds a page lock across a call, so waiting for one is trying again.</remarks>
internal sealed partial class PageMigrator
{
    /// <summary>Rounds over the pages that could not be moved at once.</summary>
    private const int Passes = 10;

    /// <summary>What a page takes along beside its identity.</summary>
    private const PageFlags Inherited = PageFlags.Error | PageFlags.Referenced | PageFlags.UpToDate | PageFlags.Active | PageFlags.Unevictable
        | PageFlags.WorkingSet | PageFlags.MappedToDisk | PageFlags.Dirty | PageFlags.SwapBacked | PageFlags.OwnerPrivate1 | PageFlags.Private;

    /// <summary>What the old frame loses, so that it can be freed.</summary>
    private const PageFlags Lost = PageFlags.Active | PageFlags.Unevictable | PageFlags.Dirty | PageFlags.OwnerPrivate1 | PageFlags.Private | PageFlags.Writeback;

    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private long _isolatedMovable;

    public PageMigrator(Machine machine)
    {
        _machine = machine;
        _frames = machine.Frames.Array;
    }

    private enum Outcome
    {
        Moved,
        Again,
        Never,
        NoMemory,
    }

    /// <summary>Pages of drivers that are isolated now; 0 when nobody migrates.</summary>
    public long IsolatedMovable => Volatile.Read(ref _isolatedMovable);

    /// <summary>Moves isolated pages, the last of the list first.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="pages">Isolated pages. Those that could not be moved are left in it: <see cref="PutBackAll"/> is the caller's.</param>
    /// <param name="targets">Where they go.</param>
    /// <param name="mode">How long it may take.</param>
    /// <param name="reason">Why.</param>
    public MigrationResult Migrate(Cpu cpu, List<int> pages, IMigrationTargets targets, MigrationMode mode, MigrationReason reason)
    {
        int before = pages.Count;
        int succeeded = 0;
        int failed = 0;
        int again = 1;
        bool noMemory = false;
        List<int> never = [];
        for (int pass = 0; pass < Passes && again != 0 && !noMemory; pass++)
        {
            again = 0;
            for (int i = pages.Count - 1; i >= 0 && !noMemory; i--)
            {
                int pfn = pages[i];
                int size = 1 << _frames[pfn].Order;
                switch (MoveOne(cpu, pfn, targets, mode, reason))
                {
                    case Outcome.Moved:
                        succeeded += size;
                        pages.RemoveAt(i);
                        break;
                    case Outcome.Again:
                        again += size;
                        break;
                    case Outcome.Never:
                        failed += size;
                        never.Add(pfn);
                        pages.RemoveAt(i);
                        break;
                    default:
                        failed += size;
                        noMemory = true;
                        break;
                }
            }
        }

        failed += again;
        pages.AddRange(never);
        Debug.Assert(pages.Count <= before && succeeded >= before - pages.Count && (pages.Count == 0 || failed != 0 || noMemory), "each page was moved, or is in the list still");
        _machine.Events.Count(VmEvent.MigrateSuccess, succeeded);
        _machine.Events.Count(VmEvent.MigrateFail, failed);
        _machine.Migration.Trace?.MmMigratePages(cpu, succeeded, failed, mode, reason);
        return new MigrationResult(succeeded, failed, noMemory);
    }

    /// <summary>Gives isolated pages back to their lists and owners (<c>putback_movable_pages()</c>).</summary>
    public void PutBackAll(Cpu cpu, List<int> pages)
    {
        for (int i = pages.Count - 1; i >= 0; i--)
        {
            Debug.Assert(_frames[pages[i]].RefCount > 0, "an isolated page is held");
            PutBack(cpu, pages[i]);
        }

        pages.Clear();
    }

    /// <summary>Whether a driver owns the page and can move it.</summary>
    public bool IsMovable(int pfn) => _frames[pfn].IsDriverMovable;

    /// <summary>Isolates a driver's page (<c>isolate_movable_page()</c>): the caller holds a reference then.</summary>
    public bool IsolateMovable(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (frame.RefCount == 0 || frame.Order != 0 || !_machine.Frames.Mappings.TryFind(frame.Mapping, out IMovableOwner? owner) || !TryLock(pfn))
        {
            return false;
        }

        bool isolated = !frame.IsToBeReclaimed && IsMovable(pfn) && AsksToIsolate(cpu, owner, pfn);
        if (isolated)
        {
            _machine.Frames.AddReferences(pfn, 1);
            SetFlags(pfn, PageFlags.Reclaim, PageFlags.None);
            Interlocked.Increment(ref _isolatedMovable);
        }

        Unlock(pfn);
        return isolated;
    }

    private void PutBack(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (!IsMovable(pfn))
        {
            PutBackLru(cpu, pfn);
            return;
        }

        if (_machine.Frames.Mappings.TryFind(frame.Mapping, out IMovableOwner? owner))
        {
            TellPutBack(cpu, owner, pfn);
        }

        SetFlags(pfn, PageFlags.None, PageFlags.Reclaim);
        EndIsolationOfMovable();
        DropReference(cpu, pfn);
    }

    private void EndIsolationOfMovable()
    {
        long left = Interlocked.Decrement(ref _isolatedMovable);
        Debug.Assert(left >= 0, "no more pages of drivers come back than were isolated");
    }

    private Outcome MoveOne(Cpu cpu, int from, IMigrationTargets targets, MigrationMode mode, MigrationReason reason)
    {
        ref PageFrame frame = ref _frames[from];

        // Page tables, caches and the page itself change in one step for page faults on other CPUs. Drivers have locks of their own.
        using OwnersLock.Scope owners = IsMovable(from) ? default : _machine.EnterOwners();
        if (frame.RefCount == 1)
        {
            // Freed while it was isolated: the reference of the isolation is the last.
            FreeOld(cpu, from, wasMovable: IsMovable(from));
            return Outcome.Moved;
        }

        int to = targets.Take(cpu, from, frame.Order);
        if (to < 0)
        {
            return Outcome.NoMemory;
        }

        bool movable = IsMovable(from);
        Outcome outcome = Outcome.Again;
        if (TryLock(from))
        {
            outcome = MoveLocked(cpu, from, to, movable, mode);
            Unlock(from);
        }

        if (outcome != Outcome.Moved)
        {
            targets.GiveBack(cpu, to);
            return outcome;
        }

        if (movable)
        {
            // The owner's reference: the new page came with one that takes its place.
            _machine.Frames.AddReferences(from, -1);
        }
        else
        {
            DropReference(cpu, to);
        }

        _machine.Hooks.OwnerTracker?.Moved(from, to, NameOf(reason));
        FreeOld(cpu, from, movable);
        return Outcome.Moved;
    }

    /// <summary>A reason as <c>page_owner</c> prints it.</summary>
    private static string NameOf(MigrationReason reason) => reason switch
    {
        MigrationReason.Compaction => "compaction",
        MigrationReason.MemoryFailure => "memory_failure",
        MigrationReason.MemoryHotplug => "memory_hotplug",
        MigrationReason.SystemCall => "syscall_or_cpuset",
        MigrationReason.MempolicyBind => "mempolicy_mbind",
        MigrationReason.NumaMisplaced => "numa_misplaced",
        MigrationReason.ContiguousRange => "contig_range",
        MigrationReason.LongtermPin => "longterm_pin",
        _ => "demotion",
    };

    private Outcome MoveLocked(Cpu cpu, int from, int to, bool movable, MigrationMode mode)
    {
        if (_frames[from].IsUnderWriteback)
        {
            if (mode != MigrationMode.Sync)
            {
                return Outcome.Never;
            }

            WaitForWriteback(cpu, from);
            if (_frames[from].IsUnderWriteback)
            {
                return Outcome.Again;
            }
        }

        Debug.Assert(_frames[from].IsLocked && !_frames[to].IsLocked && _frames[to].RefCount == 1 && _frames[to].Mapping == 0, "the old page is locked; the new one belongs to nobody yet");
        SetFlags(to, PageFlags.Locked, PageFlags.None);
        bool moved = movable ? MoveDriversPage(cpu, from, to, mode) : MoveMappedPage(cpu, from, to);
        Debug.Assert(!moved || (_frames[from].Mapping == 0 && (movable || _frames[from].MapCount == 0)), "a page that was moved belongs to nobody, and nothing maps it");
        SetFlags(to, PageFlags.None, PageFlags.Locked);
        return moved ? Outcome.Moved : Outcome.Again;
    }

    /// <summary>Waits until the device has written a page (<c>folio_wait_writeback()</c>).</summary>
    public void WaitForWriteback(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (!frame.IsUnderWriteback)
        {
            return;
        }

        if (!frame.IsAnonymous && !frame.InSwapCache && _machine.Frames.Mappings.TryFind(frame.Mapping, out FileMapping? mapping))
        {
            mapping.WaitForWriteback(cpu, pfn);
        }
        else
        {
            _machine.Swap.WaitForWrite(cpu, pfn);
        }
    }

    /// <summary>The page of a driver, which is held by its owner and by the isolation and by nobody else.</summary>
    private bool MoveDriversPage(Cpu cpu, int from, int to, MigrationMode mode)
    {
        ref PageFrame old = ref _frames[from];
        if (old.RefCount != 2 || !_machine.Frames.Mappings.TryFind(old.Mapping, out IMovableOwner? owner))
        {
            return false;
        }

        _machine.Ram.CopyFrames(from, to, 1);
        ref PageFrame fresh = ref _frames[to];
        fresh.Index = old.Index;
        fresh.Private = old.Private;
        if (!AsksToMigrate(cpu, owner, from, to, mode))
        {
            fresh.Index = 0;
            fresh.Private = 0;
            return false;
        }

        fresh.Mapping = old.Mapping;
        old.Mapping = 0;
        old.Index = 0;
        old.Private = 0;
        return true;
    }

    private bool MoveMappedPage(Cpu cpu, int from, int to)
    {
        IPageOwners? owners = _machine.Lru.Owners;
        if (owners is null)
        {
            return false;
        }

        ref PageFrame old = ref _frames[from];
        if (old.Order != 0)
        {
            return MoveHugePage(cpu, from, to, owners);
        }

        bool mapped = old.MapCount > 0;
        if ((mapped && !owners.UnmapForMigration(cpu, from)) || !owners.MoveMapping(cpu, from, to))
        {
            if (mapped)
            {
                owners.RestoreMappings(cpu, from, from);
            }

            return false;
        }

        _machine.Ram.CopyFrames(from, to, 1 << old.Order);
        _machine.Cgroups.Move(from, to);
        SetFlags(to, old.StoredFlags & Inherited, PageFlags.None);
        _machine.Lru.Idle?.Copy(from, to);
        SetFlags(from, PageFlags.None, Lost);
        old.Mapping = 0;
        old.Private = 0;
        AddToLru(cpu, to, mapped);
        if (mapped)
        {
            owners.RestoreMappings(cpu, from, to);
        }

        return true;
    }

    /// <summary>A huge page keeps its size.</summary>
    private bool MoveHugePage(Cpu cpu, int from, int to, IPageOwners owners)
    {
        ref PageFrame old = ref _frames[from];
        if (!owners.MoveHugePage(cpu, from, to))
        {
            return false;
        }

        _machine.Cgroups.Move(from, to);
        SetFlags(to, old.StoredFlags & Inherited, PageFlags.None);
        _machine.Lru.Idle?.Copy(from, to);
        SetFlags(from, PageFlags.None, Lost);
        old.Mapping = 0;
        AddToLru(cpu, to, drain: true);
        return true;
    }

    /// <summary>Drops the isolation's reference, the last one, and what else marks an isolated page.</summary>
    private void FreeOld(Cpu cpu, int pfn, bool wasMovable)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (wasMovable)
        {
            EndIsolationOfMovable();
            SetFlags(pfn, PageFlags.None, PageFlags.Reclaim);
            frame.Mapping = 0;
        }
        else
        {
            CountIsolated(pfn, -1);
            SetFlags(pfn, PageFlags.None, Lost);
            frame.Mapping = 0;
        }

        _machine.Lru.Idle?.Forget(pfn);
        DropReference(cpu, pfn);
    }

    /// <summary>Drops a reference; the last one frees the page (<c>put_page()</c>).</summary>
    private void DropReference(Cpu cpu, int pfn)
    {
        if (_frames[pfn].IsOnLru)
        {
            PutLru(cpu, pfn);
        }
        else if (!_machine.Frames.TryDropReference(pfn))
        {
            _frames[pfn].Mapping = 0;
            _machine.Pages.FreeBlock(cpu, pfn, _frames[pfn].Order);
        }
    }

    private bool TryLock(int pfn) => _frames[pfn].TryLock(_machine.IsParallel);

    private void Unlock(int pfn) => _frames[pfn].Unlock(_machine.IsParallel);

    private void SetFlags(int pfn, PageFlags set, PageFlags clear)
    {
        ref PageFrame frame = ref _frames[pfn];
        frame.Set(set, _machine.IsParallel);
        _ = frame.Clear(clear, _machine.IsParallel);
    }
}
