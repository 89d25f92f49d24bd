using System.Globalization;
using MemSim.Migration;
using MemSim.PageCache;
using MemSim.Pages;

namespace MemSim.Hotplug;

/// <summary>Moves what is in a page elsewhere and takes the page out of use (<c>soft_offline_page()</c> of 6.1).</summary>
internal sealed class SoftOffliner(Machine machine, FailureLog log)
{
    private readonly FrameArray _frames = machine.Frames.Array;
    private readonly NodeTargets _targets = new(machine);

    /// <summary>Takes a page out of use.</summary>
    public Errno Run(Cpu cpu, Zone zone, int pfn)
    {
        if (machine.Frames.Poisoned.Contains(pfn))
        {
            Say("soft_offline_page", pfn, "page already poisoned");
            return Errno.None;
        }

        foreach (HugetlbPool pool in machine.Hugetlb.Pools)
        {
            if (pool.TryFind(pfn, out int huge, out bool isFree))
            {
                return OfPool(cpu, pool, huge, pfn, isFree);
            }
        }

        machine.Frames.Untouched.Touch(pfn);
        int head = machine.Frames.CompoundHeadOf(pfn);
        if (!_frames[head].IsOnLru)
        {
            machine.Lru.DrainAll(cpu);
            machine.Pages.DrainAllPages();
            if (machine.Pages.TakePoisoned(cpu, zone, pfn))
            {
                return Done(pfn);
            }

            head = machine.Frames.CompoundHeadOf(pfn);
        }

        if (!_frames[head].IsOnLru && !_frames[head].IsDriverMovable)
        {
            log.Page(pfn, "unhandlable page.");
            return Errno.EIO;
        }

        return InUse(cpu, zone, head, pfn);
    }

    private Errno OfPool(Cpu cpu, HugetlbPool pool, int head, int pfn, bool isFree)
    {
        if (!isFree)
        {
            Say("soft offline", pfn, $"hugepage isolation failed, page count {_frames[head].RefCount}");
            return Errno.EBUSY;
        }

        _ = machine.Frames.Poisoned.Add(pfn);
        machine.Hooks.UpdateModes();
        if (pool.TryDissolve(cpu, head))
        {
            return Done(pfn);
        }

        _ = machine.Frames.Poisoned.Remove(pfn);
        machine.Hooks.UpdateModes();
        return Errno.EBUSY;
    }

    private Errno InUse(Cpu cpu, Zone zone, int head, int pfn)
    {
        if (_frames[head].Order != 0)
        {
            if (machine.Frames.Mappings.TryFind(_frames[head].Mapping, out FileMapping? large) && !_frames[head].IsAnonymous)
            {
                uint index = _frames[head].Index + (uint)(pfn - head);
                large.SplitRange(cpu, index, index);
            }
            else
            {
                machine.Frames.AddReferences(head, 1);
                _ = machine.Lru.Owners.SplitHuge(cpu, head);
                machine.Lru.Put(cpu, head);
            }

            if (machine.Frames.CompoundHeadOf(pfn) != pfn || _frames[pfn].Order != 0)
            {
                Say("soft offline", pfn, "thp split failed");
                return Errno.EBUSY;
            }

            if (_frames[pfn].RefCount == 0)
            {
                return Run(cpu, zone, pfn);
            }
        }

        // Clean pages of files that nobody maps are dropped.
        if (!_frames[pfn].IsAnonymous && !_frames[pfn].InSwapCache && machine.Frames.Mappings.TryFind(_frames[pfn].Mapping, out FileMapping? mapping))
        {
            mapping.WaitForWriteback(cpu, pfn);
            uint index = _frames[pfn].Index;
            _ = machine.Frames.Poisoned.Add(pfn);
            machine.Hooks.UpdateModes();
            if (mapping.Invalidate(cpu, index, index) != 0)
            {
                Say("soft_offline", pfn, "invalidated");
                return Done(pfn);
            }

            _ = machine.Frames.Poisoned.Remove(pfn);
            machine.Hooks.UpdateModes();
        }

        return Move(cpu, zone, pfn);
    }

    private Errno Move(Cpu cpu, Zone zone, int pfn)
    {
        PageMigrator migrator = machine.Migration.Migrator;
        bool isolated = _frames[pfn].IsOnLru ? migrator.IsolateLru(pfn) : _frames[pfn].IsDriverMovable && migrator.IsolateMovable(cpu, pfn);
        if (!isolated)
        {
            Say("soft offline", pfn, string.Create(CultureInfo.InvariantCulture, $"page isolation failed, page count {_frames[pfn].RefCount}"));
            return Errno.EBUSY;
        }

        _targets.Node = zone.Node;
        List<int> pages = [pfn];

        // Once it moved, the last reference of the old page goes, and a page with an error is not freed.
        _ = machine.Frames.Poisoned.Add(pfn);
        machine.Hooks.UpdateModes();
        MigrationResult result = migrator.Migrate(cpu, pages, _targets, MigrationMode.Sync, MigrationReason.MemoryFailure);
        if (result.Succeeded != 0 && _frames[pfn].Has(PageFlags.HwPoison))
        {
            return Done(pfn);
        }

        _ = machine.Frames.Poisoned.Remove(pfn);
        machine.Hooks.UpdateModes();
        migrator.PutBackAll(cpu, pages);
        Say("soft offline", pfn, string.Create(CultureInfo.InvariantCulture, $"page migration failed {(result.NoMemory ? -(int)Errno.ENOMEM : result.Failed)}"));
        return result.NoMemory ? Errno.ENOMEM : Errno.EBUSY;
    }

    private Errno Done(int pfn)
    {
        _ = machine.Frames.Poisoned.Add(pfn);
        machine.Hooks.UpdateModes();
        machine.SystemFigures.HardwareCorruptedPages++;
        return Errno.None;
    }

    private void Say(string where, int pfn, string what) => log.Line(string.Create(CultureInfo.InvariantCulture, $"{where}: 0x{pfn:x}{(what.StartsWith("page already", StringComparison.Ordinal) ? "" : ":")} {what}"));
}
