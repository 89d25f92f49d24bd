using System.Runtime.CompilerServices;
using MemSim.Hardware;

namespace MemSim.VirtualMemory;

/// <summary>What a <see cref="PageTableCursor"/> stands at.</summary>
internal enum PageTableStep
{
    /// <summary>Behind the range.</summary>
    End,

    /// <summary>An entry of the second level that maps a huge page.</summary>
    Huge,

    /// <summary>A table of the lowest level: <see cref="PageTableCursor.Entries"/>.</summary>
    Table,

    /// <summary>An entry above the lowest level that was overwritten: told only to whoever asks for it.</summary>
    Bad,
}

/// <summary>What a <see cref="PageTableCursor"/> does about overwritten entries above the lowest level.</summary>
internal enum BadEntries
{
    /// <summary>Reported and emptied, as the kernel's walks do (<c>pmd_none_or_clear_bad()</c>).</summary>
    Clear,

    /// <summary>Passed over like holes: reading changes nothing.</summary>
    Skip,

    /// <summary>Told as <see cref="PageTableStep.Bad"/>.</summary>
    Tell,
}

/// <summary>Walks the page tables of a range of an area: huge pages and tables of small ones, holes passed over (<c>walk_page_range()</c>).</summary>
/// <remarks>
/// What it finds is data that anybody may have overwritten: a table or a huge page is told only after a check that it is one. The caller holds the lock of
/// address spaces. Whoever does something between two steps that may sleep, and so change the tables, goes on with <see cref="ContinueFrom"/>.
/// </remarks>
internal ref struct PageTableCursor
{
    private readonly AddressSpaces _spaces;
    private readonly Vma _vma;
    private readonly PageTables _tables;
    private readonly BadEntries _bad;
    private readonly ulong _end;
    private ulong _next;

    public PageTableCursor(AddressSpaces spaces, Vma vma, ulong start, ulong end, BadEntries bad = BadEntries.Clear)
    {
        _spaces = spaces;
        _vma = vma;
        _tables = vma.Mm.Tables;
        _bad = bad;
        _end = end;
        _next = start;
    }

    /// <summary>What it stands at.</summary>
    public PageTableStep Step { get; private set; }

    /// <summary>Whether it stands at a huge page.</summary>
    public readonly bool IsHuge => Step == PageTableStep.Huge;

    /// <summary>Where in the range it stands: an address of the huge page, or the first one that the table's entries translate.</summary>
    public ulong Address { get; private set; }

    /// <summary>The physical address of the entry it stands at; of the first one of a table.</summary>
    public ulong Slot { get; private set; }

    /// <summary>The entry of the huge page.</summary>
    public ulong Entry { get; private set; }

    /// <summary>Whether the range holds only part of the huge page.</summary>
    public readonly bool IsCut => _spaces.Huge.IsCut(Address, _end);

    /// <summary>The table's entries in the range.</summary>
    public readonly TableEntries Entries
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(_tables.Mmu.Memory, Slot, (_next - Address) >> PageGeometry.PageShift, Address, _tables.EntryShift);
    }

    /// <summary>Goes on to the next huge page or table of the range.</summary>
    public bool Next()
    {
        while (_next < _end)
        {
            Address = _next;
            TableLook look = _tables.Look(_next, out ulong slot, out ulong next);
            Slot = slot;
            if (look == TableLook.Table)
            {
                ulong table = _spaces.Layout.TableBytes;
                ulong tableEnd = (Address | (table - 1)) + 1;
                _next = tableEnd == 0 || tableEnd > _end ? _end : tableEnd;
                Step = PageTableStep.Table;
                return true;
            }

            _next = next == 0 || next > _end ? _end : next;
            if (look != TableLook.Hole && Examine(look))
            {
                return true;
            }
        }

        Step = PageTableStep.End;
        return false;
    }

    /// <summary>Replaces the huge page's entry by small ones (<c>split_huge_pmd()</c>); the next step is at their table.</summary>
    public void Split(Cpu cpu)
    {
        System.Diagnostics.Debug.Assert(IsHuge, "there is a huge page to split");
        _spaces.Huge.SplitEntry(cpu, _vma, Address & ~(_spaces.Huge.Bytes - 1));
        _next = Address;
    }

    /// <summary>Goes on from an address, looking for its table anew.</summary>
    public void ContinueFrom(ulong address) => _next = address;

    /// <summary>Looks at an entry of the second level or above that leads to no table.</summary>
    /// <returns>Whether it is something to tell.</returns>
    private bool Examine(TableLook look)
    {
        Entry = _tables.ReadSlot(Slot);
        if (look == TableLook.Pmd && _spaces.UsesHugePages && _spaces.Huge.IsMapped(_vma, Address, Entry))
        {
            Step = PageTableStep.Huge;
            return true;
        }

        if (_bad == BadEntries.Clear)
        {
            _tables.ClearBad(Slot, look == TableLook.Pmd ? "pmd" : "pud");
        }

        Step = PageTableStep.Bad;
        return _bad == BadEntries.Tell;
    }
}
