using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <content>Entries by their physical address.</content>
internal sealed partial class PageTables<TFormat>
{
    private protected override ulong MakeSlot(Cpu cpu, ulong address) => DescendOrAdd(cpu, address);

    private protected override ulong LookForSlot(ulong address) => DescendToSlot(address);

    internal override TableLook Look(ulong address, out ulong slot, out ulong next)
    {
        next = 0;
        slot = LastSlot(address);
        return slot != 0 ? TableLook.Table : Descend(address, out slot, out next);
    }

    private ulong RememberTable(ulong address, ulong parent, ulong entry)
    {
        if (_lock is null && !TFormat.IsLeaf(entry, 2))
        {
            NoteTable(address, parent + ((ulong)(uint)IndexOf(address, 2) << TFormat.EntryShift), entry, TFormat.TableBase(entry));
        }

        return TFormat.TableBase(entry) + ((ulong)(uint)IndexOf(address, 1) << TFormat.EntryShift);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private ulong DescendOrAdd(Cpu cpu, ulong address) => Ensure(cpu, address, 1, out ulong parent, out ulong entry) == 0 ? 0 : RememberTable(address, parent, entry);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private ulong DescendToSlot(ulong address) => Descend(address, out ulong slot, out _) == TableLook.Table ? slot : 0;

    private TableLook Descend(ulong address, out ulong slot, out ulong next)
    {
        ulong table = Root.Value;
        for (int at = TFormat.Levels; ; at--)
        {
            slot = table + ((ulong)(uint)IndexOf(address, at) << TFormat.EntryShift);
            ulong entry = ReadEntry(_memory, slot, 0);
            if (!LeadsToTable(entry, at))
            {
                next = (address | (Size(at) - 1)) + 1;
                return entry == 0 ? TableLook.Hole : at == 2 ? TableLook.Pmd : TableLook.Bad;
            }

            if (at == 2)
            {
                next = 0;
                slot = RememberTable(address, table, entry);
                return TableLook.Table;
            }

            table = TFormat.TableBase(entry);
        }
    }

    /// <summary>Whether an entry above the lowest level leads to a table: entries lie in simulated memory, where anybody may have written anything, so one that leads out of it does not.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool LeadsToTable(ulong entry, int level) => TFormat.IsPresent(entry) && !TFormat.IsLeaf(entry, level) && TFormat.TableBase(entry) < _memory.Bytes;

    /// <summary>Whether a present entry maps a page.</summary>
    private protected override bool KeepsPage(ulong entry, ulong next) => !TFormat.IsPresent(entry) || !TFormat.IsPresent(next) || TFormat.LeafBase(entry, 1) == TFormat.LeafBase(next, 1);

    private static bool MapsPage(ulong entry, int level) => TFormat.IsPresent(entry) && TFormat.IsLeaf(entry, level);

    /// <summary>Whether the table of a level that an entry leads to is one of these tables: only those are freed.</summary>
    private bool Owns(ulong entry, int level) => Mmu.Frames.Owns((long)(TFormat.TableBase(entry) >> PageGeometry.PageShift), TableTag(level));

    /// <summary>The table an entry leads to, made where the entry is empty; one that leads nowhere is emptied first.</summary>
    /// <returns>0 without memory.</returns>
    private ulong TableOrNew(Cpu cpu, ulong table, int index, int level, ref ulong entry)
    {
        if (entry != 0 && !LeadsToTable(entry, level))
        {
            ClearBad(table + ((ulong)(uint)index << TFormat.EntryShift), TFormat.Name(level));
            entry = 0;
        }

        if (entry == 0)
        {
            entry = AddTable(cpu, table, index, level);
        }

        return entry == 0 ? 0 : TFormat.TableBase(entry);
    }

    internal override void FreeTables(Cpu cpu, ulong start, ulong end, ulong floor, ulong ceiling)
    {
        // Level by level from the lowest: a table goes when all it covers lies between the limits. The top table stays.
        using LockScope scope = Enter();
        for (int level = 1; level < TFormat.Levels; level++)
        {
            ulong bytes = Size(level + 1);
            ulong first = start & ~(bytes - 1);
            if (first < floor)
            {
                first = (floor + bytes - 1) & ~(bytes - 1);
            }

            for (ulong at = first; at < end; at += bytes)
            {
                if (ceiling != 0 && bytes > ceiling - at)
                {
                    break;
                }

                (ulong parent, int parentLevel, ulong entry) = Descend(at, level + 1);
                if (parentLevel > level + 1)
                {
                    at = (at | (Size(parentLevel) - 1)) + 1 - bytes;
                }
                else if (LeadsToTable(entry, parentLevel) && Owns(entry, level))
                {
                    Write(parent, parentLevel, IndexOf(at, parentLevel), 0);
                    FreeUnhooked(cpu, TFormat.TableBase(entry), level);
                }
                else if (entry != 0)
                {
                    ClearBad(parent + ((ulong)(uint)IndexOf(at, parentLevel) << TFormat.EntryShift), TFormat.Name(parentLevel));
                }

                if (at + bytes == 0)
                {
                    break;
                }
            }
        }

        if (_detached.Count != 0)
        {
            Mmu.FlushRange(cpu, this, new VirtualAddress(start), end - start);
        }
    }

    /// <summary>Frees a table that nothing leads to any more; where the hardware of another CPU may be walking in it, after the next flush (<c>tlb_remove_table()</c>).</summary>
    private void FreeUnhooked(Cpu cpu, ulong table, int level)
    {
        if (IsShared)
        {
            _detached.Add(((long)(table >> PageGeometry.PageShift), level));
        }
        else
        {
            FreeTable(cpu, table, level);
        }
    }

    internal override long CountEntries()
    {
        long count = 0;
        VisitTables((pfn, level) =>
        {
            for (int i = 0; level == 1 && i < 1 << TFormat.IndexBits(1); i++)
            {
                count += Read((ulong)pfn << PageGeometry.PageShift, i) != 0 ? 1 : 0;
            }
        });
        return count;
    }

    internal override int Deposits => _deposits.Count;

    internal override ulong FindPmd(ulong address)
    {
        ulong table = Root.Value;
        for (int at = TFormat.Levels; at > 2; at--)
        {
            ulong entry = Read(table, IndexOf(address, at));
            if (!LeadsToTable(entry, at))
            {
                return 0;
            }

            table = TFormat.TableBase(entry);
        }

        return table + ((ulong)(uint)IndexOf(address, 2) << TFormat.EntryShift);
    }

    internal override ulong EnsurePmd(Cpu cpu, ulong address) => Ensure(cpu, address, 2, out _, out _);

    internal override ulong FindSlotOnLevel(ulong address, int level)
    {
        ulong table = Root.Value;
        for (int at = TFormat.Levels; at > level; at--)
        {
            ulong entry = Read(table, IndexOf(address, at));
            if (!LeadsToTable(entry, at))
            {
                return 0;
            }

            table = TFormat.TableBase(entry);
        }

        return table + ((ulong)(uint)IndexOf(address, level) << TFormat.EntryShift);
    }

    internal override ulong EnsureSlotOnLevel(Cpu cpu, ulong address, int level)
    {
        ulong table = Root.Value;
        for (int at = TFormat.Levels; at > level; at--)
        {
            int index = IndexOf(address, at);
            ulong entry = Read(table, index);
            table = LeadsToTable(entry, at) ? TFormat.TableBase(entry) : TableOrNew(cpu, table, index, at, ref entry);
            if (table == 0)
            {
                return 0;
            }
        }

        return table + ((ulong)(uint)IndexOf(address, level) << TFormat.EntryShift);
    }

    internal override bool Deposit(Cpu cpu)
    {
        long pfn = Mmu.Frames.Allocate(cpu, IsKernel);
        if (pfn < 0)
        {
            return false;
        }

        TablePages++;
        CountTable(pfn, 1, 1);
        _deposits.Push(pfn);
        return true;
    }

    internal override void FreeDeposit(Cpu cpu)
    {
        Debug.Assert(_deposits.Count != 0, "each huge page has put a table by");
        FreeTable(cpu, (ulong)_deposits.Pop() << PageGeometry.PageShift, 1);
    }

    internal override ulong WithdrawDeposit(out ulong fill)
    {
        Debug.Assert(_deposits.Count != 0, "each huge page has put a table by");
        fill = (ulong)_deposits.Pop() << PageGeometry.PageShift;
        return TFormat.MakeTable(fill, 2, user: true);
    }

    internal override void DepositFrom(ulong pmd)
    {
        Debug.Assert(TFormat.IsPresent(ReadSlot(pmd)) && !TFormat.IsLeaf(ReadSlot(pmd), 2), "the slot leads to a table");
        _deposits.Push((long)(TFormat.TableBase(ReadSlot(pmd)) >> PageGeometry.PageShift));
        WriteSlot(pmd, 0);
    }

    internal override long CountHuge(Func<ulong, bool> isHuge)
    {
        long count = 0;
        VisitTables((pfn, level) =>
        {
            // With two levels the kernel's own large pages are in the same table.
            int entries = level != 2 ? 0 : TFormat.Levels == 2 && !IsKernel ? FirstKernelIndex : 1 << TFormat.IndexBits(2);
            for (int i = 0; i < entries; i++)
            {
                count += isHuge(Read((ulong)pfn << PageGeometry.PageShift, i)) ? 1 : 0;
            }
        });
        return count;
    }

    private ulong AddTable(Cpu cpu, ulong table, int index, int at)
    {
        long pfn = Mmu.Frames.Allocate(cpu, IsKernel);
        if (pfn < 0)
        {
            return 0;
        }

        TablePages++;
        CountTable(pfn, at - 1, 1);
        ulong entry = TFormat.MakeTable((ulong)pfn << PageGeometry.PageShift, at, user: !IsKernel);
        Write(table, at, index, entry);
        return entry;
    }

    private void FreeTable(Cpu cpu, ulong table, int level)
    {
        ForgetTable();
        TablePages--;
        Debug.Assert(TablePages >= 0, "no more tables are freed than were made");
        long pfn = (long)(table >> PageGeometry.PageShift);
        CountTable(pfn, level, -1);
        Mmu.Frames.Free(cpu, pfn);
    }

    /// <summary>The address of a level's entry for an address, with the tables down to it, and the entry that leads to its table; 0 without memory for one.</summary>
    private ulong Ensure(Cpu cpu, ulong address, int level, out ulong parent, out ulong entry)
    {
        ulong table = Root.Value;
        parent = 0;
        entry = 0;
        for (int at = TFormat.Levels; at > level; at--)
        {
            int index = IndexOf(address, at);
            entry = Read(table, index);
            parent = table;
            table = LeadsToTable(entry, at) ? TFormat.TableBase(entry) : TableOrNew(cpu, table, index, at, ref entry);
            if (table == 0)
            {
                // Tables made on the way stay, as in the kernel: they go with the range.
                return 0;
            }
        }

        return table + ((ulong)(uint)IndexOf(address, level) << TFormat.EntryShift);
    }
}
