using MemSim.Cma;
using MemSim.Migration;
using MemSim.PageAllocation;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.Hotplug;

/// <summary>Takes a range of frames away from its zone: isolates its page blocks, moves away what is there, takes the free pages out of the lists.</summary>
/// <remarks>Kernel 6.1: <c>offline_pages()</c>. The kernel tries until it succeeds or a signal comes; here the signal comes after some rounds in which nothing could be moved.</remarks>
internal sealed class BlockOffliner
{
    /// <summary>Fruitless rounds after which whoever waits presses Ctrl-C.</summary>
    private const int Patience = 8;

    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly PageblockIsolation _isolation;
    private readonly NodeTargets _targets;

    public BlockOffliner(Machine machine)
    {
        _machine = machine;
        _frames = machine.Frames.Array;
        _isolation = new PageblockIsolation(machine);
        _targets = new NodeTargets(machine);
    }

    /// <summary>Takes the range offline.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="start">The first frame.</param>
    /// <param name="end">The frame after the last.</param>
    /// <param name="mayLeave">Asked when the range is isolated (<c>MEM_GOING_OFFLINE</c>): what else has a say.</param>
    /// <returns>EINVAL for holes and for pages of several zones, EBUSY where something cannot be moved, EINTR where something did not move; all is as before then.</returns>
    public Errno Run(Cpu cpu, int start, int end, Func<Errno> mayLeave)
    {
        if (_machine.ZoneTable.ZoneOf(start) is not { } zone || !IsMemoryOf(zone, start, end))
        {
            return Errno.EINVAL;
        }

        _machine.Frames.Untouched.TouchAll(start, end);
        DisableCpuLists(zone);
        _machine.Migration.Migrator.DrainAllLru(cpu);
        _machine.Pages.DrainAllPages();
        try
        {
            Errno result = Isolate(cpu, zone, start, end, mayLeave);
            if (result == Errno.None)
            {
                Leave(cpu, zone, start, end);
            }

            return result;
        }
        finally
        {
            _machine.Settings.Reapply();
        }
    }

    private Errno Isolate(Cpu cpu, Zone zone, int start, int end, Func<Errno> mayLeave)
    {
        if (!_isolation.TryIsolate(cpu, zone, start, end, MigrateType.Movable, passesPoisoned: true))
        {
            return Errno.EBUSY;
        }

        Errno result = Errno.EINTR;
        try
        {
            result = mayLeave();
            return result = result == Errno.None ? Clear(cpu, zone, start, end) : result;
        }
        finally
        {
            if (result != Errno.None)
            {
                _isolation.Undo(cpu, zone, start, end, MigrateType.Movable);
            }
        }
    }

    /// <summary>While a range of it goes, a zone's pages do not stay in the lists of CPUs (<c>zone_pcp_disable()</c>).</summary>
    private static void DisableCpuLists(Zone zone)
    {
        foreach (PerCpuPages pcp in zone.Pcp)
        {
            pcp.Batch = 1;
            if (pcp.IsMoving)
            {
                pcp.SetBounds(0, 0);
            }
            else
            {
                pcp.High = 0;
            }
        }
    }

    private bool IsMemoryOf(Zone zone, int start, int end)
    {
        for (int i = 0; i < _machine.ZoneTable.PresentRanges.Count; i++)
        {
            PresentRange range = _machine.ZoneTable.PresentRanges[i];
            if (range.Zone == zone && range.Start <= start && range.End > start)
            {
                if (range.End >= end)
                {
                    return true;
                }

                start = (int)range.End;
            }
        }

        return false;
    }

    /// <summary>Moves everything out of the isolated range.</summary>
    private Errno Clear(Cpu cpu, Zone zone, int start, int end)
    {
        _targets.Node = Near(zone.Node);
        int fruitless = 0;
        while (fruitless < Patience)
        {
            int first = FindMovable(start, end);
            bool progress = first >= 0 && Move(cpu, first, end);
            _machine.Migration.Migrator.DrainAllLru(cpu);
            if (first < 0)
            {
                _machine.Pages.DrainAllPages();
                if (_isolation.IsFree(start, end, passesPoisoned: true))
                {
                    return Errno.None;
                }
            }

            fruitless = progress ? 0 : fruitless + 1;
        }

        return Errno.EINTR;
    }

    /// <summary>The first page in use that can be moved; -1 when there is none (<c>scan_movable_pages()</c>).</summary>
    private int FindMovable(int start, int end)
    {
        for (int pfn = start; pfn < end;)
        {
            ref PageFrame frame = ref _frames[pfn];
            if (frame.RefCount != 0 && (frame.IsOnLru || frame.IsDriverMovable))
            {
                return pfn;
            }

            pfn += BlockPages(in frame);
        }

        return -1;
    }

    private static int BlockPages(ref readonly PageFrame frame) => frame.IsBuddy ? 1 << frame.Private : frame.RefCount != 0 ? 1 << frame.Order : 1;

    /// <summary>Moves what is in use from a frame on (<c>do_migrate_range()</c>).</summary>
    /// <returns>Whether any page was moved.</returns>
    private bool Move(Cpu cpu, int start, int end)
    {
        PageMigrator migrator = _machine.Migration.Migrator;
        List<int> pages = [];
        for (int pfn = start; pfn < end;)
        {
            ref PageFrame frame = ref _frames[pfn];
            int size = BlockPages(in frame);
            bool isolated = frame.RefCount != 0 && (frame.IsOnLru ? migrator.IsolateLru(pfn) : frame.IsDriverMovable && migrator.IsolateMovable(cpu, pfn));
            if (isolated)
            {
                pages.Add(pfn);
            }

            pfn += size;
        }

        // The list is worked off from its end, and the kernel begins with the lowest page.
        pages.Reverse();
        MigrationResult result = migrator.Migrate(cpu, pages, _targets, MigrationMode.Sync, MigrationReason.MemoryHotplug);
        migrator.PutBackAll(cpu, pages);
        return result.Succeeded != 0;
    }

    /// <summary>Takes the free pages out of the lists and the frames out of the zone (<c>__offline_isolated_pages()</c>, <c>remove_pfn_range_from_zone()</c>).</summary>
    private void Leave(Cpu cpu, Zone zone, int start, int end)
    {
        BuddyLists buddy = _machine.Pages.Buddy;
        PerCpuPages pcp = cpu.Lists.Pcp[zone.Id];
        zone.EnterLock();
        for (int pfn = start; pfn < end;)
        {
            int order = buddy.FindFreeBlock(pfn, out int head);
            if (order >= 0)
            {
                buddy.Isolate(zone, pcp, head, order);
            }

            // Pages with hardware errors just go: nobody uses them.
            _machine.SystemFigures.HardwareCorruptedPages -= _machine.Frames.Poisoned.Remove(pfn) ? 1 : 0;
            _frames[pfn].Identity = 0;
            _frames[pfn].State = 0;
            pfn += 1 << Math.Max(order, 0);
        }

        zone.ExitLock();
        int pages = end - start;
        zone.IsolatedPageblocks -= pages >> zone.PageblockOrder;
        zone.ManagedPages -= pages;
        zone.PresentPages -= pages;
        _machine.ZoneTable.CountManaged(-pages);
        _machine.ZoneTable.MakeOffline(new OfflineRange(start, end, zone.Node.Id));
        ZoneSpan.Shrink(_machine, zone, start, end);
        if (zone.PresentPages == 0)
        {
            ZonelistBuilder.Rebuild(_machine);
        }
    }

    /// <summary>The nearest other node with memory, or the same where it is the only one: that is where pages go (<c>do_migrate_range()</c>).</summary>
    private Node Near(Node node)
    {
        foreach (int id in node.FallbackOrder)
        {
            if (id != node.Id && _machine.GetNode(id).PresentPages != 0)
            {
                return _machine.GetNode(id);
            }
        }

        return node;
    }
}
