using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemSim;

/// <summary>Where a look for the lowest-level table of an address ended.</summary>
internal enum TableLook
{
    /// <summary>At an empty entry.</summary>
    Hole,

    /// <summary>At an entry of the second level that is not empty and leads to no table: a huge page, or rubbish.</summary>
    Pmd,

    /// <summary>At the table.</summary>
    Table,

    /// <summary>At an entry that can be nothing but damage.</summary>
    Bad,
}

/// <content>Entries by their physical address ("slots"): what page faults, fork and unmapping work with.</content>
public abstract partial class PageTables
{
    private readonly long[] _tablesByLevel = new long[6];

    // The lowest-level table found last: the region it covers, where the entry that leads to it lies, that entry, and the table. Good while the entry is still there and no table was freed since.
    private ulong _lastRegion;
    private ulong _lastBytes;
    private ulong _lastParent;
    private ulong _lastEntry;
    private ulong _lastTable;

    /// <summary>Whether the hardware of several CPUs marks entries at the same time: on machines with parallel CPUs.</summary>
    internal bool IsShared { get; }

    /// <summary>log2 of the bytes of an entry.</summary>
    internal int EntryShift { get; private protected init; }

    /// <summary>log2 of the entries in a lowest-level table.</summary>
    internal int EntriesShift => PageGeometry.PageShift - EntryShift;

    /// <summary>Tables of a level, 1 being the lowest (<c>mm_inc_nr_ptes()</c>, <c>mm_inc_nr_pmds()</c>, <c>mm_inc_nr_puds()</c>).</summary>
    internal long TablesOnLevel(int level) => _tablesByLevel[level];

    /// <summary>The slot of an address in the lowest level, tables made where there are none.</summary>
    /// <returns>Its physical address; 0 without memory.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong EnsureSlot(Cpu cpu, ulong address) => LastSlot(address) is var slot and not 0 ? slot : MakeSlot(cpu, address);

    /// <summary>The slot of an address in the lowest level. Ranges are walked by <see cref="MemSim.VirtualMemory.PageTableCursor"/>.</summary>
    /// <returns>Its physical address; 0 when no table covers it.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong FindSlot(ulong address) => LastSlot(address) is var slot and not 0 ? slot : LookForSlot(address);

    private protected abstract ulong MakeSlot(Cpu cpu, ulong address);

    private protected abstract ulong LookForSlot(ulong address);

    /// <summary>The slot of an address in the table found last.</summary>
    /// <returns>0 when another table covers the address.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private protected ulong LastSlot(ulong address)
    {
        // A table covers as many pages as it has entries: the address's place in the region is that of its entry in the table.
        ulong offset = address - _lastRegion;
        return offset < _lastBytes && ReadSlot(_lastParent) == _lastEntry ? _lastTable + (offset >> PageGeometry.PageShift << EntryShift) : 0;
    }

    /// <summary>The slot of the first of some pages that the table found last covers all.</summary>
    /// <returns>0 when it does not, the address is not a page's, or these tables are no more.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private protected ulong LastSlots(ulong address, long pages)
    {
        ulong offset = address - _lastRegion;
        return !IsDestroyed && offset < _lastBytes && (offset & (PageGeometry.PageSize - 1)) == 0 && pages > 0 && (ulong)pages <= (_lastBytes - offset) >> PageGeometry.PageShift && ReadSlot(_lastParent) == _lastEntry
            ? _lastTable + (offset >> PageGeometry.PageShift << EntryShift)
            : 0;
    }

    /// <summary>A lowest-level table was found.</summary>
    private protected void NoteTable(ulong address, ulong parent, ulong entry, ulong table)
    {
        _lastBytes = 1UL << (PageGeometry.PageShift + EntriesShift);
        _lastRegion = address & ~(_lastBytes - 1);
        _lastParent = parent;
        _lastEntry = entry;
        _lastTable = table;
    }

    /// <summary>A table was freed: it may be the one found last.</summary>
    private protected void ForgetTable() => _lastBytes = 0;

    /// <summary>Looks for the lowest-level table of an address.</summary>
    /// <param name="address">The address.</param>
    /// <param name="slot">The physical address of the entry at which the look ended: of the lowest level where there is a table.</param>
    /// <param name="next">Where there is none: the first address behind what that entry covers; 0 at the end of the address space.</param>
    internal abstract TableLook Look(ulong address, out ulong slot, out ulong next);

    /// <summary>Clears an entry above the lowest level that is neither empty nor leads anywhere (<c>pmd_clear_bad()</c> and its like), and says so.</summary>
    internal void ClearBad(ulong slot, string level)
    {
        ulong entry = ReadSlot(slot);
        WriteSlot(slot, 0);
        Mmu.Machine.Bugs.ReportDamage($"mm/pgtable-generic.c: bad {level} {slot:x16}({entry:x16})", $"{this}: an entry of a page table was overwritten. It is empty now; what it led to is left alone.\n");
    }

    /// <summary>Frees the tables that cover part of a range and nothing outside of the limits (<c>free_pgd_range()</c>). Whoever calls it has flushed the TLBs.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="start">The first address of the range.</param>
    /// <param name="end">The address behind it.</param>
    /// <param name="floor">Nothing is mapped from here to the start.</param>
    /// <param name="ceiling">Nothing is mapped from the end to here; 0 for the end of the space.</param>
    internal abstract void FreeTables(Cpu cpu, ulong start, ulong end, ulong floor, ulong ceiling);

    /// <summary>Entries of the lowest level that are not empty, in the user's half.</summary>
    internal abstract long CountEntries();

    /// <summary>Reads an entry.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong ReadSlot(ulong slot) => EntryShift == 3 ? Mmu.Memory.Read<ulong>(slot) : Mmu.Memory.Read<uint>(slot);

    /// <summary>Writes an entry.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void WriteSlot(ulong slot, ulong entry)
    {
        Debug.Assert((slot & ((1UL << EntryShift) - 1)) == 0 && slot < Mmu.Memory.Bytes, "the slot is an entry's place in memory; the tables above it may hold anything, so more cannot be said");
        Debug.Assert(KeepsPage(ReadSlot(slot), entry), "a page gives way to another only by an entry that was cleared between them, so that TLBs are told");
        StoreSlot(slot, entry);
    }

    /// <summary>Writes an entry whatever lies there: a huge page's that gives way to a table of its parts, or, in a slot that nobody has looked at, nothing or damage.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void OverwriteSlot(ulong slot, ulong entry)
    {
        Debug.Assert((slot & ((1UL << EntryShift) - 1)) == 0 && slot < Mmu.Memory.Bytes, "the slot is an entry's place in memory");
        StoreSlot(slot, entry);
    }

    /// <summary>Whether an entry may take the place of another as it is: not both are present, or they name the same frame (for checks).</summary>
    private protected abstract bool KeepsPage(ulong entry, ulong next);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void StoreSlot(ulong slot, ulong entry)
    {
        if (EntryShift == 3)
        {
            Mmu.Memory.Write(slot, entry);
        }
        else
        {
            Mmu.Memory.Write(slot, (uint)entry);
        }
    }

    /// <summary>Changes an entry that may be present, if it is still what the caller saw: on a machine with parallel CPUs the hardware of another one may have marked it accessed or dirty.</summary>
    /// <param name="slot">The slot.</param>
    /// <param name="seen">What the caller saw; when it has changed, what is there now.</param>
    /// <param name="entry">The new entry, made from what the caller saw.</param>
    /// <returns>Whether the entry is changed; else the caller makes it from the new one and tries again.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryChangeSlot(ulong slot, ref ulong seen, ulong entry)
    {
        Debug.Assert(IsShared || ReadSlot(slot) == seen, "without other CPUs the entry is what the caller saw");
        if (IsShared)
        {
            return TryChangeInOneStep(slot, ref seen, entry);
        }

        WriteSlot(slot, entry);
        return true;
    }

    /// <summary>Empties a slot (<c>ptep_get_and_clear()</c>).</summary>
    /// <param name="slot">The slot.</param>
    /// <param name="seen">What the caller saw.</param>
    /// <returns>The last entry: with accessed and dirty state that the hardware of another CPU added meanwhile.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong ClearSlot(ulong slot, ulong seen)
    {
        while (!TryChangeSlot(slot, ref seen, 0))
        {
        }

        return seen;
    }

    private bool TryChangeInOneStep(ulong slot, ref ulong seen, ulong entry)
    {
        ulong found = Mmu.Memory.CompareExchange(slot, entry, seen, EntryShift == 3);
        bool changed = found == seen;
        seen = found;
        return changed;
    }

    /// <summary>The slot of an address in the second level.</summary>
    /// <returns>Its physical address; 0 when no table covers it.</returns>
    internal abstract ulong FindPmd(ulong address);

    /// <summary>The slot of an address in the second level, tables above it made where there are none.</summary>
    /// <returns>Its physical address; 0 without memory.</returns>
    internal abstract ulong EnsurePmd(Cpu cpu, ulong address);

    /// <summary>The slot of an address in a level, where all tables above it exist.</summary>
    /// <returns>Its physical address; 0 when no table covers it.</returns>
    internal abstract ulong FindSlotOnLevel(ulong address, int level);

    /// <summary>The slot of an address in a level, tables above it made where there are none.</summary>
    /// <returns>Its physical address; 0 without memory.</returns>
    internal abstract ulong EnsureSlotOnLevel(Cpu cpu, ulong address, int level);

    /// <summary>Puts a table, empty and not in use, by for a huge page, so that it can always be split (<c>pgtable_trans_huge_deposit()</c>); it counts as one of the process's.</summary>
    /// <returns>False without memory.</returns>
    internal abstract bool Deposit(Cpu cpu);

    /// <summary>Gives a table put by back, because its huge page is gone (<c>zap_deposited_table()</c>).</summary>
    internal abstract void FreeDeposit(Cpu cpu);

    /// <summary>Hooks a table put by into a slot of the second level (<c>pgtable_trans_huge_withdraw()</c>, <c>pmd_populate()</c>) after the caller filled it.</summary>
    /// <param name="fill">The physical address of the table.</param>
    internal abstract ulong WithdrawDeposit(out ulong fill);

    /// <summary>Tables put by.</summary>
    internal abstract int Deposits { get; }

    /// <summary>The tables put by whose slots of the second level hold huge pages, by the slot (for checks).</summary>
    internal abstract long CountHuge(Func<ulong, bool> isHuge);

    /// <summary>Takes an empty lowest-level table out of its slot and keeps it as a deposit (<c>pmdp_collapse_flush()</c>).</summary>
    internal abstract void DepositFrom(ulong pmd);

    /// <summary>What a frame that holds a table of a level of this address space is marked with.</summary>
    private protected int TableTag(int level) => (Number << 3) | level;

    private protected void CountTable(long pfn, int level, int change)
    {
        if (change > 0)
        {
            Mmu.Frames.Mark(pfn, TableTag(level));
        }

        _tablesByLevel[level] += change;
        Debug.Assert(_tablesByLevel[level] >= 0, "no more tables of a level are freed than were made");
        if (level <= 2 && level < Levels && !IsKernel)
        {
            // 6.1 counts tables of the two lowest levels (pgtable_pte_page_ctor(), pgtable_pmd_page_ctor()).
            Mmu.Machine.ZoneTable.ZoneOf((int)pfn)!.Node.Counters.PageTables += change;
        }
    }
}
