using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim.HugePages;

/// <content>Moving huge pages as one piece.</content>
internal sealed partial class TransparentHugeMemory
{
    /// <summary>Whether the architecture has migration entries of the second level (<c>CONFIG_ARCH_ENABLE_THP_MIGRATION</c>).</summary>
    public bool MovesWhole => _spaces.Machine.Architecture.Bits == 64;

    /// <summary>Whether a huge page can be moved in one piece: an anonymous one that every entry maps as a whole.</summary>
    public bool IsWhole(int head) => MovesWhole && _spaces.Pages.IsAnon(head) && !_spaces.Pages.IsSwapCache(head) && _spaces.Maps.WholeMaps(head) != 0 && _spaces.Maps.TotalMapCount(head) == _spaces.Maps.WholeMaps(head);

    private readonly List<(PageTables Tables, ulong Slot, ulong Entry)> _moving = [];

    /// <summary>Gives a new page the contents, all entries and the state of a huge page (<c>set_pmd_migration_entry()</c>, <c>remove_migration_pmd()</c>). One lock guards all address spaces, so that nobody sees the migration entries.</summary>
    /// <returns>False when it is not mapped so, or somebody unexpected holds it; nothing is changed then.</returns>
    public bool Move(Cpu cpu, int from, int to)
    {
        ref PageFrame old = ref _frames[from];
        if (old.Order != Order || _spaces.Maps.WholeMaps(from) == 0)
        {
            return MoveSized(cpu, from, to);
        }

        if (old.Order != Order || _frames[to].Order != Order || !IsWhole(from) || old.RefCount != _spaces.Maps.TotalMapCount(from) + 1
            || !_spaces.Machine.Frames.Mappings.TryFind(old.Mapping, out AnonVma? anon))
        {
            return false;
        }

        int maps = _spaces.Maps.WholeMaps(from);
        _spaces.Pages.PrepareHuge(to);
        ref PageFrame fresh = ref _frames[to];
        fresh.Mapping = old.Mapping;
        fresh.Index = old.Index;
        fresh.InvertedMapCount = old.InvertedMapCount;
        _frames[to + 1].Private = maps;
        _spaces.Pages.SetFlag(to, PageFlags.SwapBacked | (_spaces.Pages.IsExclusive(from) ? PageFrame.AnonExclusive : 0));
        foreach (AnonVmaChain link in anon.Areas)
        {
            Vma vma = link.Vma;
            ulong entry = 0;
            ulong slot = vma.TryAddressOf(old.Index, out ulong address) && (address & _mask) == 0 ? Find(vma, address, out entry) : 0;
            if (slot != 0 && _layout.Pfn(entry) == from)
            {
                PageTables tables = vma.Mm.Tables;
                _moving.Add((tables, slot, tables.ClearSlot(slot, entry)));
                tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(address), Bytes);
            }
        }

        // Only now nobody writes to it any more; whoever tries faults, and waits for the lock.
        _spaces.Machine.Ram.CopyFrames(from, to, Pages);
        foreach ((PageTables tables, ulong slot, ulong entry) in _moving)
        {
            tables.WriteSlot(slot, _layout.WithPfn(entry, to));
        }

        _moving.Clear();
        _spaces.Machine.Frames.AddReferences(to, maps);
        _spaces.Machine.Frames.AddReferences(from, -maps);
        NodeCounters source = _spaces.Pages.CountersOf(from);
        NodeCounters target = _spaces.Pages.CountersOf(to);
        source.AnonPages -= Pages;
        source.AnonHugePages -= Pages;
        target.AnonPages += Pages;
        target.AnonHugePages += Pages;
        Forget(from);
        old.InvertedMapCount = 0;
        _frames[from + 1].Private = 0;
        _spaces.Pages.ClearFlag(from, PageFrame.AnonExclusive);
        return true;
    }

    /// <summary>The same of a page that entries of the lowest level map, all of its parts or some.</summary>
    private bool MoveSized(Cpu cpu, int from, int to)
    {
        ref PageFrame old = ref _frames[from];
        int maps = _spaces.Maps.TotalMapCount(from);
        if (!old.IsAnonymous || old.InSwapCache || _frames[to].Order != old.Order || old.RefCount != maps + 1 || maps == 0
            || !_spaces.Machine.Frames.Mappings.TryFind(old.Mapping, out AnonVma? anon))
        {
            return false;
        }

        int pages = 1 << old.Order;
        foreach (AnonVmaChain link in anon.Areas)
        {
            TakeParts(cpu, link.Vma, from, pages);
        }

        bool moves = _moving.Count == maps;
        int parts = 0;
        if (moves)
        {
            _spaces.Machine.Ram.CopyFrames(from, to, pages);
            _spaces.Pages.PrepareHuge(to);
            parts = CopyParts(from, to, pages);
        }

        foreach ((PageTables tables, ulong slot, ulong entry) in _moving)
        {
            tables.WriteSlot(slot, moves ? _layout.WithPfn(entry, to + _layout.Pfn(entry) - from) : entry);
        }

        _moving.Clear();
        if (!moves)
        {
            return false;
        }

        _spaces.Machine.Frames.AddReferences(to, maps);
        _spaces.Machine.Frames.AddReferences(from, -maps);
        _spaces.Pages.CountersOf(from).AnonPages -= parts;
        _spaces.Pages.CountersOf(to).AnonPages += parts;
        if (Forget(from))
        {
            _ = Queue(to).Add(to);
            Settings.Count(old.Order, HugePageStat.NrAnonPartiallyMapped);
        }

        _spaces.Pages.PrepareHuge(from);
        old.InvertedMapCount = 0;
        _spaces.Pages.ClearFlag(from, PageFrame.AnonExclusive);
        return true;
    }

    /// <summary>Takes the entries of a page's parts out of an area.</summary>
    private void TakeParts(Cpu cpu, Vma vma, int from, int pages)
    {
        PageTables tables = vma.Mm.Tables;
        for (int i = 0; i < pages; i++)
        {
            ulong slot = vma.TryAddressOf(_frames[from].Index + (uint)i, out ulong address) ? tables.FindSlot(address) : 0;
            ulong entry = slot == 0 ? 0 : tables.ReadSlot(slot);
            if (entry != 0 && _layout.IsPresent(entry) && _layout.Pfn(entry) == from + i)
            {
                _moving.Add((tables, slot, tables.ClearSlot(slot, entry)));
                tables.Mmu.FlushPage(cpu, tables, new VirtualAddress(address));
            }
        }
    }

    /// <summary>Owner, place and counts go to the new frames.</summary>
    /// <returns>Parts that something maps.</returns>
    private int CopyParts(int from, int to, int pages)
    {
        ref PageFrame fresh = ref _frames[to];
        fresh.Mapping = _frames[from].Mapping;
        fresh.Index = _frames[from].Index;
        fresh.InvertedMapCount = _frames[from].InvertedMapCount;
        _frames[to + 1].Index = _frames[from + 1].Index;
        _spaces.Pages.SetFlag(to, PageFlags.SwapBacked);
        int mapped = 0;
        for (int i = 0; i < pages; i++)
        {
            mapped += _spaces.Maps.SmallMaps(from + i) != 0 ? 1 : 0;
            if (i != 0)
            {
                _frames[to + i].InvertedMapCount = _frames[from + i].InvertedMapCount;
            }

            if (_spaces.Pages.IsExclusive(from + i))
            {
                _spaces.Pages.SetFlag(to + i, PageFrame.AnonExclusive);
            }
        }

        return mapped;
    }
}
