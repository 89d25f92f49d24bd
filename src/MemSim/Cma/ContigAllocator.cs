using MemSim.Compaction;
using MemSim.Hardware;
using MemSim.Migration;
using MemSim.PageAllocation;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.Cma;

/// <summary>Allocates a given range of frames by moving away what is there.</summary>
/// <remarks>Kernel 6.1: <c>alloc_contig_range()</c>. One machine clears one range at a time.</remarks>
internal sealed class ContigAllocator
{
    /// <summary>Rounds of migration after which a range is given up.</summary>
    private const int MaxTries = 5;

    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly PageblockIsolation _isolation;
    private readonly NodeTargets _targets;
    // Guards that one range is cleared at a time (cma_mutex).
    private readonly MachineLock _lock;

    public ContigAllocator(Machine machine)
    {
        _machine = machine;
        _lock = new MachineLock(machine, "ContigAllocator._lock");
        _frames = machine.Frames.Array;
        _isolation = new PageblockIsolation(machine);
        _targets = new NodeTargets(machine);
    }

    public PageblockIsolation Isolation => _isolation;

    /// <summary>Allocates the frames of a range as single pages with one reference each.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="start">The first frame.</param>
    /// <param name="end">The frame after the last.</param>
    /// <param name="type">The type of the page blocks, during and after.</param>
    /// <returns>What came of it; unless it succeeded, all pages are in use or free as before, though maybe elsewhere.</returns>
    public ContigOutcome AllocRange(Cpu cpu, int start, int end, MigrateType type)
    {
        if (_machine.ZoneTable.ZoneOf(start) is not { } zone || !zone.SpansIndex(end - 1))
        {
            return ContigOutcome.Busy;
        }

        using (new LockScope(_lock))
        {
            if (!_isolation.TryIsolate(cpu, zone, start, end, type))
            {
                return ContigOutcome.Busy;
            }

            try
            {
                DrainAll(zone);
                ContigOutcome cleared = Clear(cpu, zone, start, end);
                return cleared == ContigOutcome.NoMemory ? cleared
                    : Grab(cpu, zone, start, end) ? ContigOutcome.Success : ContigOutcome.Busy;
            }
            finally
            {
                _isolation.Undo(cpu, zone, start, end, type);
            }
        }
    }

    /// <summary>Frees pages of a range one by one (<c>free_contig_range()</c>).</summary>
    public void FreeRange(Cpu cpu, int start, int end)
    {
        for (int pfn = start; pfn < end; pfn++)
        {
            _machine.Pages.FreeBlock(cpu, pfn, 0);
        }
    }

    private void DrainAll(Zone zone)
    {
        foreach (Cpu other in _machine.Cpus)
        {
            _machine.Pages.DrainAll(other, zone.Pcp[other.Id]);
        }
    }

    /// <summary>Moves everything out of an isolated range.</summary>
    private ContigOutcome Clear(Cpu cpu, Zone zone, int start, int end)
    {
        CompactControl cc = new(zone, _machine.Compaction.Compactor.ScannersOf(zone), CompactControl.NoGoal) { Mode = MigrationMode.Sync, IgnoreSkipHint = true, NoSetSkipHint = true, AllocContig = true };
        PageMigrator migrator = _machine.Migration.Migrator;
        MigrationScanner scanner = new(_machine);
        migrator.DrainAllLru(cpu);
        int pfn = start;
        int tries = 0;
        MigrationResult result = default;
        _targets.Node = zone.Node;
        while (pfn < end || cc.MigratePages.Count != 0)
        {
            if (cc.MigratePages.Count == 0)
            {
                while (pfn < end && cc.MigratePages.Count < CompactControl.Cluster)
                {
                    scanner.ScanBlock(cpu, cc, pfn, Math.Min(cc.BlockEnd(pfn), end), unevictable: true);
                    pfn = cc.MigratePfn;
                }

                tries = 0;
            }
            else if (++tries == MaxTries)
            {
                break;
            }

            if (_machine.Lru.Owners is not null)
            {
                _machine.Reclaim.Vmscan.ReclaimClean(cpu, zone.Node, cc.MigratePages);
            }

            result = migrator.Migrate(cpu, cc.MigratePages, _targets, MigrationMode.Sync, MigrationReason.ContiguousRange);
            if (result.NoMemory)
            {
                break;
            }
        }

        migrator.PutBackAll(cpu, cc.MigratePages);
        migrator.DrainAllLru(cpu);
        DrainAll(zone);
        return result.NoMemory ? ContigOutcome.NoMemory : ContigOutcome.Success;
    }

    /// <summary>Takes the range out of the free lists, if all of it is there.</summary>
    private bool Grab(Cpu cpu, Zone zone, int start, int end)
    {
        BuddyLists buddy = _machine.Pages.Buddy;
        zone.EnterLock();
        try
        {
            if (!_isolation.IsFree(start, end))
            {
                return false;
            }

            for (int pfn = start; pfn < end;)
            {
                int order = buddy.FindFreeBlock(pfn, out int head);

                // A block that sticks out of the range stays free outside.
                while (head < start || head + (1 << order) > end)
                {
                    buddy.SplitFree(zone, cpu.Lists.Pcp[zone.Id], head, order - 1);
                    order = buddy.FindFreeBlock(pfn, out head);
                }

                buddy.Isolate(zone, cpu.Lists.Pcp[zone.Id], head, order);
                for (int page = head; page < head + (1 << order); page++)
                {
                    _frames[page].Identity = PageFrame.FreeIdentity(zone.Id, 0);
                    _frames[page].State = PageFrame.SinglePageState;
                }

                pfn = head + (1 << order);
            }
        }
        finally
        {
            zone.ExitLock();
        }

        // The free counter of vmstat is what was allocated and is not in use: these pages were not counted as allocated.
        _machine.Events.Count(VmEvent.PagesFreed, end - start);
        return true;
    }
}

/// <summary>What became of a contiguous allocation.</summary>
internal enum ContigOutcome
{
    Success,

    /// <summary>Something in the range cannot be moved now (<c>-EBUSY</c>): another range may do.</summary>
    Busy,

    /// <summary>There is nowhere to move pages to (<c>-ENOMEM</c>).</summary>
    NoMemory,
}
