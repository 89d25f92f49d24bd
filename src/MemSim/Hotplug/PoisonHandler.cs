using System.Globalization;
using MemSim.PageCache;
using MemSim.Pages;
using MemSim.ReverseMapping;

namespace MemSim.Hotplug;

/// <summary>Takes a broken page away from whoever has it (<c>memory_failure()</c> of 6.1).</summary>
internal sealed class PoisonHandler
{
    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly FailureLog _log;
    private readonly FailureSignals _signals;
    private readonly Rmap? _rmap;
    private readonly HugetlbFailures _hugetlb;

    public PoisonHandler(Machine machine, FailureLog log, FailureSignals signals)
    {
        _machine = machine;
        _frames = machine.Frames.Array;
        _log = log;
        _signals = signals;
        _rmap = machine.Mm is { } spaces ? new Rmap(spaces, new PageTableAging(spaces)) : null;
        _hugetlb = new HugetlbFailures(machine, log, signals);
    }

    /// <summary>Deals with an error.</summary>
    public Errno Fail(Cpu cpu, Zone zone, int pfn, MemoryFailureFlags flags)
    {
        PoisonedFrames poisoned = _machine.Frames.Poisoned;
        if (!poisoned.Add(pfn))
        {
            _log.Page(pfn, "already hardware poisoned");
            if ((flags & MemoryFailureFlags.ActionRequired) != 0)
            {
                _signals.SendAgain(cpu, pfn);
            }

            return Errno.EHWPOISON;
        }

        _machine.Hooks.UpdateModes();
        _machine.Frames.Untouched.Touch(pfn);
        MemoryFailureResult result = _hugetlb.TryFail(cpu, pfn, flags) ?? FailOrdinary(cpu, zone, pfn, flags);
        return result is MemoryFailureResult.Recovered or MemoryFailureResult.Delayed ? Errno.None : Errno.EBUSY;
    }

    /// <summary>Undoes it, where the page is out of use.</summary>
    public Errno Unpoison(Cpu cpu, int pfn)
    {
        PoisonedFrames poisoned = _machine.Frames.Poisoned;
        ref PageFrame frame = ref _frames[pfn];
        string? why = !poisoned.Contains(pfn) ? "Page was already unpoisoned"
            : frame.Has(PageFlags.HwPoison) && frame.RefCount > 1 ? "Someone grabs the hwpoison page"
            : frame.MapCount != 0 ? "Someone maps the hwpoison page"
            : frame.Mapping != 0 ? "the hwpoison page has non-NULL mapping"
            : !frame.Has(PageFlags.HwPoison) ? "failed to grab page"
            : null;
        if (why is not null)
        {
            _log.Line(string.Create(CultureInfo.InvariantCulture, $"Unpoison: {why} 0x{pfn:x}"));
            return Errno.EBUSY;
        }

        _ = poisoned.Remove(pfn);
        _machine.SystemFigures.HardwareCorruptedPages--;
        _machine.Pages.PutBackPoisoned(cpu, pfn);
        _machine.Hooks.UpdateModes();
        _log.Line(string.Create(CultureInfo.InvariantCulture, $"Unpoison: Software-unpoisoned page 0x{pfn:x}"));
        return Errno.None;
    }

    private MemoryFailureResult FailOrdinary(Cpu cpu, Zone zone, int pfn, MemoryFailureFlags flags)
    {
        int head = _machine.Frames.CompoundHeadOf(pfn);
        if (!_frames[head].IsOnLru)
        {
            // It may be on its way to a list, or in a CPU's own (shake_page()).
            _machine.Lru.DrainAll(cpu);
            _machine.Pages.DrainAllPages();
            if (_machine.Pages.TakePoisoned(cpu, zone, pfn))
            {
                return _log.Result(pfn, "free buddy page", MemoryFailureResult.Recovered);
            }

            head = _machine.Frames.CompoundHeadOf(pfn);
        }

        if (!_frames[head].IsOnLru || _frames[head].IsLocked)
        {
            _log.Page(pfn, "unhandlable page.");
            return _log.Result(pfn, "unknown page", MemoryFailureResult.Ignored);
        }

        if (_frames[head].Order != 0 && !Split(cpu, head, pfn))
        {
            return _log.Result(pfn, "unsplit thp", MemoryFailureResult.Ignored);
        }

        if (_frames[pfn].Has(PageFlags.HwPoison))
        {
            // A part that nobody mapped was freed by the split, and so is out of use.
            return _log.Result(pfn, "clean LRU page", MemoryFailureResult.Recovered);
        }

        return FailListed(cpu, pfn, flags);
    }

    /// <summary>Makes the page one of its own.</summary>
    private bool Split(Cpu cpu, int head, int pfn)
    {
        if (FileOf(head) is { } mapping)
        {
            uint index = _frames[head].Index + (uint)(pfn - head);
            mapping.SplitRange(cpu, index, index);
        }
        else
        {
            _machine.Frames.AddReferences(head, 1);
            _ = _machine.Lru.Owners.SplitHuge(cpu, head);
            _machine.Lru.Put(cpu, head);
        }

        return _machine.Frames.CompoundHeadOf(pfn) == pfn && _frames[pfn].Order == 0;
    }

    /// <summary>A single page of a process or a file.</summary>
    private MemoryFailureResult FailListed(Cpu cpu, int pfn, MemoryFailureFlags flags)
    {
        _machine.Frames.AddReferences(pfn, 1);
        _machine.Lru.SetFlags(ref _frames[pfn], PageFlags.Locked);
        _machine.Migration.Migrator.WaitForWriteback(cpu, pfn);
        MemoryFailureResult result = Unmap(cpu, pfn, flags) ? Remove(cpu, pfn) : _log.Result(pfn, "unmapping failed page", MemoryFailureResult.Ignored);
        ref PageFrame frame = ref _frames[pfn];
        _ = _machine.Lru.ClearFlags(ref frame, PageFlags.Locked);
        _machine.Lru.SetFlags(ref frame, PageFlags.HwPoison);
        if (result == MemoryFailureResult.Recovered && frame.RefCount == 1 && frame.MapCount == 0)
        {
            _machine.Pages.SetAside(pfn, frame.ZoneId);
        }

        return result;
    }

    /// <summary>Takes the page out of all page tables (<c>hwpoison_user_mappings()</c>): clean pages of files come back by the next access, of others the next access is told.</summary>
    private bool Unmap(Cpu cpu, int pfn, MemoryFailureFlags flags)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (frame.MapCount == 0 || _rmap is null)
        {
            return true;
        }

        bool marks = true;
        if (frame.InSwapCache)
        {
            _log.Page(pfn, "keeping poisoned page in swap cache");
            marks = false;
        }

        if ((flags & MemoryFailureFlags.MustKill) == 0 && !frame.IsDirty && FileOf(pfn) is { WritesBack: true } mapping)
        {
            if (_rmap.IsDirtyAnywhere(cpu, pfn))
            {
                _ = mapping.SetDirty(cpu, pfn);
            }
            else
            {
                marks = false;
                _log.Page(pfn, "corrupted page was clean: dropped without side effects");
            }
        }

        List<(Process Process, ulong Address)> victims = _signals.Collect(cpu, _rmap.Places(cpu, pfn), flags);
        bool unmapped = _rmap.UnmapPoisoned(cpu, pfn, marks);
        if (!unmapped)
        {
            _log.Page(pfn, $"failed to unmap page (mapcount={_frames[pfn].MapCount})");
        }

        if (_frames[pfn].IsDirty || (flags & MemoryFailureFlags.MustKill) != 0 || !unmapped)
        {
            _signals.Send(cpu, victims, pfn, stillMapped: !unmapped, flags);
        }

        return unmapped;
    }

    /// <summary>Takes the page, which nobody maps, away from its cache (<c>identify_page_state()</c>).</summary>
    private MemoryFailureResult Remove(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        bool dirty = frame.IsDirty;
        if (frame.InSwapCache)
        {
            return RemoveFromSwapCache(cpu, pfn, dirty);
        }

        string kind = frame.IsMlocked ? "mlocked LRU page" : frame.IsUnevictable ? "unevictable LRU page" : "LRU page";
        string what = dirty ? $"dirty {kind}" : $"clean {kind}";
        if (frame.IsAnonymous)
        {
            LeaveList(cpu, pfn);
            frame.Mapping = 0;
            _ = _machine.Lru.ClearFlags(ref frame, PageFlags.Dirty);
            return _log.Result(pfn, what, MemoryFailureResult.Recovered);
        }

        if (FileOf(pfn) is not { } mapping)
        {
            return _log.Result(pfn, "already truncated LRU page", MemoryFailureResult.Ignored);
        }

        if (dirty)
        {
            _machine.Lru.SetFlags(ref frame, PageFlags.Error);
            mapping.RecordError(Errno.EIO);
        }

        LeaveList(cpu, pfn);
        int expected = 1;
        if (mapping.IsShmem)
        {
            // It stays in its file, so that nobody reads zeroes instead.
            expected++;
        }
        else
        {
            mapping.DropPoisoned(cpu, pfn);
        }

        return _log.Result(pfn, what, HasOtherUsers(pfn, what, expected) ? MemoryFailureResult.Failed : MemoryFailureResult.Recovered);
    }

    private MemoryFailureResult RemoveFromSwapCache(Cpu cpu, int pfn, bool dirty)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (!dirty)
        {
            // What is in swap is still good.
            bool removed = _machine.Lru.Owners.RemoveFromCache(cpu, pfn);
            LeaveList(cpu, pfn);
            frame.Mapping = removed ? 0 : frame.Mapping;
            const string Clean = "clean swapcache page";
            return _log.Result(pfn, Clean, !removed || HasOtherUsers(pfn, Clean, 1) ? MemoryFailureResult.Failed : MemoryFailureResult.Recovered);
        }

        _ = _machine.Lru.ClearFlags(ref frame, PageFlags.Dirty | PageFlags.UpToDate);
        LeaveList(cpu, pfn);
        const string Dirty = "dirty swapcache page";
        return _log.Result(pfn, Dirty, HasOtherUsers(pfn, Dirty, 2) ? MemoryFailureResult.Failed : MemoryFailureResult.Delayed);
    }

    private bool HasOtherUsers(int pfn, string what, int expected)
    {
        int others = _frames[pfn].RefCount - expected;
        if (others > 0)
        {
            _log.Page(pfn, $"{what} still referenced by {others} users");
        }

        return others > 0;
    }

    /// <summary>The page is on no list any more, and nobody pays for it (<c>delete_from_lru_cache()</c>).</summary>
    private void LeaveList(Cpu cpu, int pfn)
    {
        if (!_machine.Lru.Isolate(pfn))
        {
            return;
        }

        _ = _machine.Lru.ClearFlags(ref _frames[pfn], PageFlags.Active | PageFlags.Unevictable);
        _machine.Lru.Ages.Forget(pfn);
        _machine.Hooks.Charges?.Uncharge(cpu, pfn);
        _machine.Frames.AddReferences(pfn, -1);
    }

    private FileMapping? FileOf(int pfn) =>
        !_frames[pfn].IsAnonymous && _machine.Frames.Mappings.TryFind(_frames[pfn].Mapping, out FileMapping? mapping) ? mapping : null;
}
