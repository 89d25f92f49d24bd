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
}
