using MemSim.Statistics;
using MemSim.VirtualMemory;

namespace MemSim.HugePages;

/// <content>Entries that map huge pages: split, copied, protected, moved.</content>
internal sealed partial class TransparentHugeMemory
{
    /// <summary>Replaces an entry that maps a huge page by 512 small ones that map its parts; the page itself stays in one piece (<c>__split_huge_pmd()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="vma">The area.</param>
    /// <param name="address">The first address of the huge page.</param>
    public void SplitEntry(Cpu cpu, Vma vma, ulong address)
    {
        PageTables tables = vma.Mm.Tables;
        ulong slot = Find(vma, address, out ulong entry);
        if (slot == 0)
        {
            return;
        }

        _events.Count(VmEvent.ThpSplitPmd);

        // No CPU may see the huge and the small entries at once.
        entry = tables.ClearSlot(slot, entry);
        tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(address), Bytes);
        int head = _layout.Pfn(entry);
        bool isZero = IsZero(entry);
        bool exclusive = !isZero && _spaces.Pages.IsExclusive(head);
        bool young = _layout.IsYoung(entry);
        bool dirty = _layout.IsDirty(entry);
        if (dirty && !isZero)
        {
            _spaces.Pages.SetFlag(head, PageFlags.Dirty);
        }

        ulong table = tables.WithdrawDeposit(out ulong fill);
        for (int i = 0; i < Pages; i++)
        {
            ulong small = _layout.Make(isZero ? _spaces.ZeroPfn : head + i, vma.PageBits);
            if (!isZero)
            {
                small = _layout.IsWritable(entry) ? _layout.MakeWritable(small) : small;
                small = young ? small : _layout.MakeOld(small);
                small = dirty ? _layout.MakeDirty(small) : small;
                _spaces.Maps.AddPart(head + i, head, exclusive);
            }

            tables.OverwriteSlot(fill + ((ulong)i << tables.EntryShift), small);
        }

        if (!isZero)
        {
            _spaces.Machine.Frames.AddReferences(head, Pages - 1);
            _spaces.Maps.RemoveHugeRmap(cpu, head, vma, splits: true);
        }

        tables.OverwriteSlot(slot, table);
    }

    /// <summary>Splits the entry of a huge page that a limit cuts (<c>split_huge_pmd_if_needed()</c>).</summary>
    public void SplitAt(Cpu cpu, Vma vma, ulong limit)
    {
        if ((limit & _mask) != 0 && Fits(vma, limit))
        {
            SplitEntry(cpu, vma, limit & ~_mask);
        }
    }

    /// <summary>Fork copies the entry of a huge page (<c>copy_huge_pmd()</c>).</summary>
    /// <returns>False without memory.</returns>
    public bool Copy(Cpu cpu, MemoryDescriptor child, PageTables tables, ulong address, ulong slot, ulong entry, ref bool protectedAny)
    {
        ulong target = child.Tables.EnsurePmd(cpu, address);
        if (target == 0 || !child.Tables.Deposit(cpu))
        {
            return false;
        }

        if (IsZero(entry))
        {
            ShareZero(child);
            child.Tables.OverwriteSlot(target, entry);
            return true;
        }

        int head = _layout.Pfn(entry);
        _spaces.Pages.Get(head);
        _spaces.Maps.DuplicateHugeRmap(head);
        child.AnonPages += Pages;
        if (_layout.IsWritable(entry))
        {
            while (!tables.TryChangeSlot(slot, ref entry, _layout.WriteProtect(entry)))
            {
            }

            entry = _layout.WriteProtect(entry);
            protectedAny = true;
        }

        child.Tables.OverwriteSlot(target, _layout.MakeOld(entry));
        return true;
    }

    /// <summary>Gives the entry of a huge page the rights of its area (<c>change_huge_pmd()</c>).</summary>
    public void Protect(Vma vma, ulong slot, ulong entry)
    {
        while (!vma.Mm.Tables.TryChangeSlot(slot, ref entry, _layout.MakeHuge(_layout.Modify(_layout.MakeSmall(entry), vma.PageBits))))
        {
        }
    }

    /// <summary>Moves the entry of a huge page where the new place allows one (<c>move_huge_pmd()</c>), else splits it.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="cursor">Stands at it; moved on if it is split.</param>
    /// <param name="tables">The page tables.</param>
    /// <param name="to">Where its address goes.</param>
    /// <param name="prepare">Whether tables are only made ready.</param>
    /// <returns>0 when there is no huge page any more, 1 when it is moved or ready, -1 without memory.</returns>
    public int Move(Cpu cpu, ref PageTableCursor cursor, PageTables tables, ulong to, bool prepare)
    {
        ulong slot = cursor.Slot;
        ulong entry = cursor.Entry;
        ulong target = 0;
        if (!cursor.IsCut && ((cursor.Address ^ to) & _mask) == 0)
        {
            target = prepare ? tables.EnsurePmd(cpu, to) : tables.FindPmd(to);
            if (target == 0)
            {
                return -1;
            }
        }

        if (target == 0 || tables.ReadSlot(target) != 0)
        {
            if (target != 0 && prepare && _layout.IsHuge(tables.ReadSlot(target)))
            {
                // What is there now goes before the move.
                return 1;
            }

            cursor.Split(cpu);
            return 0;
        }

        if (!prepare)
        {
            tables.WriteSlot(target, tables.ClearSlot(slot, entry));
        }

        return 1;
    }

    /// <summary>Whether a range that goes on at an address holds only part of the huge page there.</summary>
    public bool IsCut(ulong at, ulong end) => (at & _mask) != 0 || end - at < Bytes;
}
