using MemSim.Hardware;

namespace MemSim.AddressSpaces.Huge;

/// <summary>Mappings of the pool's pages (<c>mm/hugetlb.c</c> of 6.1): faults, copies, fork, unmapping. Pages are on no LRU list and never move.</summary>
internal sealed class HugetlbCore(MmCore core)
{
    private readonly ulong _bytes = core.Huge.Bytes;
    private readonly int _order = core.Huge.Order;
    private readonly PteLayout _layout = core.Layout;

    private HugePagePool Pool => core.Machine.HugePages.Pool;

    public static bool Maps(Vma vma) => (vma.Flags & VmaFlags.HugeTlb) != 0;

    /// <summary>Whether a range cuts a huge page: areas of such pages are only changed in whole ones.</summary>
    public bool Cuts(ulong start, ulong end) => ((start | end) & (_bytes - 1)) != 0;

    public ulong IndexOf(Vma vma, ulong address) => ((address - vma.StartValue) >> (PageGeometry.PageShift + _order)) + (vma.PgOff >> _order);

    /// <summary>Promises pages to a new mapping (<c>hugetlb_reserve_pages()</c>).</summary>
    /// <returns>False when the pool has too few.</returns>
    public bool Reserve(Cpu cpu, HugetlbFile file, ulong count)
    {
        if (!Pool.Reserve(cpu, (long)count))
        {
            return false;
        }

        for (ulong i = 0; i < count; i++)
        {
            file.Reserved.Add(i);
        }

        return true;
    }

    /// <summary>A fault (<c>hugetlb_fault()</c>).</summary>
    public FaultResult Fault(Cpu cpu, Vma vma, ulong address, FaultFlags flags)
    {
        address &= ~(_bytes - 1);
        PageTables tables = vma.Mm.Tables;
        ulong slot = tables.EnsurePmd(cpu, address);
        if (slot == 0)
        {
            return FaultResult.Oom;
        }

        ulong entry = tables.ReadSlot(slot);
        bool write = (flags & FaultFlags.Write) != 0;
        if (entry == 0)
        {
            FaultResult result = FirstFault(cpu, vma, address, slot, write);
            return result;
        }

        if (!write || _layout.IsWritable(entry))
        {
            tables.WriteSlot(slot, _layout.MakeYoung(write ? _layout.MakeDirty(entry) : entry));
            return FaultResult.None;
        }

        return WriteProtectFault(cpu, vma, address, slot, entry);
    }

    /// <summary>Clears the entries of part of an area, which lies in whole huge pages.</summary>
    public void Zap(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        PageTables tables = vma.Mm.Tables;
        for (ulong at = start; at < end; at += _bytes)
        {
            ulong slot = tables.FindPmd(at);
            ulong entry = slot == 0 ? 0 : tables.ReadSlot(slot);
            if (entry != 0)
            {
                tables.WriteSlot(slot, 0);
                tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(at), _bytes);
                Unmapped(cpu, vma, _layout.Pfn(entry));
            }
        }
    }

    /// <summary>Fork copies the entries of a private mapping; those of a shared one come by faults.</summary>
    /// <returns>False without memory for tables.</returns>
    public bool Copy(Cpu cpu, Vma to, Vma from, ref bool protectedAny)
    {
        if (from.IsShared)
        {
            return true;
        }

        PageTables tables = from.Mm.Tables;
        for (ulong at = from.StartValue; at < from.EndValue; at += _bytes)
        {
            ulong slot = tables.FindPmd(at);
            ulong entry = slot == 0 ? 0 : tables.ReadSlot(slot);
            if (entry == 0)
            {
                continue;
            }

            ulong target = to.Mm.Tables.EnsurePmd(cpu, at);
            if (target == 0)
            {
                return false;
            }

            int head = _layout.Pfn(entry);
            core.Machine.AddReferences(head, 1);
            if (_layout.IsWritable(entry))
            {
                entry = _layout.WriteProtect(entry);
                tables.WriteSlot(slot, entry);
                protectedAny = true;
            }

            Mapped(to, target, head, _layout.MakeOld(entry));
        }

        return true;
    }

    /// <summary>Gives entries the rights of their area (<c>hugetlb_change_protection()</c>).</summary>
    public void Protect(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        PageTables tables = vma.Mm.Tables;
        for (ulong at = start; at < end; at += _bytes)
        {
            ulong slot = tables.FindPmd(at);
            ulong entry = slot == 0 ? 0 : tables.ReadSlot(slot);
            if (entry != 0)
            {
                // Writing begins with a fault, which knows whether the page is shared.
                tables.WriteSlot(slot, _layout.WriteProtect(_layout.MakeHuge(_layout.Modify(entry, vma.PageBits))));
            }
        }

        tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(start), end - start);
    }

    /// <summary>An area is gone: its own reservations go back, and with the last area the file.</summary>
    public void Close(Cpu cpu, Vma vma)
    {
        if (vma.Hugetlb is not { } file)
        {
            return;
        }

        vma.Hugetlb = null;
        if (!file.IsShared && ReferenceEquals(vma.Mm, file.Owner))
        {
            GiveBack(cpu, file, IndexOf(vma, vma.StartValue), IndexOf(vma, vma.EndValue));
        }

        if (--file.Areas == 0)
        {
            foreach (int head in file.Pages.Values)
            {
                Put(cpu, head);
            }

            file.Pages.Clear();
            GiveBack(cpu, file, 0, ulong.MaxValue);
        }
    }

    private void GiveBack(Cpu cpu, HugetlbFile file, ulong first, ulong end) => Pool.Unreserve(cpu, file.Reserved.RemoveWhere(i => i >= first && i < end));

    /// <summary>First use of a huge page here (<c>hugetlb_no_page()</c>).</summary>
    private FaultResult FirstFault(Cpu cpu, Vma vma, ulong address, ulong slot, bool write)
    {
        HugetlbFile file = vma.Hugetlb!;
        if (file.Unmapped.Contains(vma.Mm))
        {
            core.Story?.Add("its pages were taken away when the pool was too small to copy them: SIGBUS");
            return FaultResult.SigBus;
        }

        ulong index = IndexOf(vma, address);
        if (!file.IsShared || !file.Pages.TryGetValue(index, out int head))
        {
            bool reserved = file.MayUseReserve(vma.Mm) && file.Reserved.Contains(index);
            head = Pool.Take(cpu, reserved);
            if (head < 0)
            {
                core.Story?.Add("the pool of huge pages has none to spare: SIGBUS");
                return FaultResult.SigBus;
            }

            if (reserved)
            {
                file.Reserved.Remove(index);
            }

            core.Machine.Memory.Zero(head, (1 << _order));
            core.Story?.Add($"huge page 0x{head:x} of the pool, zeroed{(reserved ? ", from the reservation" : "")}");
            if (file.IsShared)
            {
                file.Pages.Add(index, head);
                core.Machine.AddReferences(head, 1);
            }
        }
        else
        {
            core.Machine.AddReferences(head, 1);
        }

        ulong entry = _layout.MakeYoung(_layout.MakeHuge(_layout.Make(head, vma.PageBits)));
        if ((vma.Flags & VmaFlags.Write) != 0 && (write || file.IsShared))
        {
            entry = _layout.MakeWritable(_layout.MakeDirty(entry));
        }

        Mapped(vma, slot, head, entry);
        return FaultResult.None;
    }

    /// <summary>A write to a page mapped read-only (<c>hugetlb_wp()</c>).</summary>
    private FaultResult WriteProtectFault(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
    {
        HugetlbFile file = vma.Hugetlb!;
        PageTables tables = vma.Mm.Tables;
        int head = _layout.Pfn(entry);
        if (!file.IsShared && core.TotalMapCount(head) > 1)
        {
            int copy = Pool.Take(cpu, reserved: false);
            if (copy >= 0)
            {
                ulong made = _layout.MakeHuge(_layout.Make(copy, vma.PageBits));
                for (int i = 0; i < (1 << _order); i++)
                {
                    core.CopyPage(head + i, copy + i);
                }

                tables.WriteSlot(slot, 0);
                tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(address), _bytes);
                Unmapped(cpu, vma, head);
                Mapped(vma, slot, copy, _layout.MakeWritable(_layout.MakeDirty(_layout.MakeYoung(made))));
                core.Story?.Add($"huge page 0x{head:x} is shared: copied to 0x{copy:x}");
                return FaultResult.None;
            }

            if (!ReferenceEquals(vma.Mm, file.Owner))
            {
                core.Story?.Add("the pool of huge pages has none for a copy: SIGBUS");
                return FaultResult.SigBus;
            }

            UnmapFromOthers(cpu, file, IndexOf(vma, address));
            core.Story?.Add("the pool has no page for a copy: the others lose this one, its owner keeps it");
        }

        entry = _layout.MakeDirty(_layout.MakeYoung(entry));
        tables.WriteSlot(slot, (vma.Flags & VmaFlags.Write) != 0 ? _layout.MakeWritable(entry) : entry);
        return FaultResult.None;
    }

    /// <summary>Takes a page away from everybody but the owner (<c>unmap_ref_private()</c>).</summary>
    private void UnmapFromOthers(Cpu cpu, HugetlbFile file, ulong index)
    {
        foreach (MemoryDescriptor mm in core.Spaces)
        {
            if (ReferenceEquals(mm, file.Owner))
            {
                continue;
            }

            for (Vma? vma = mm.Tree.First; vma is not null; vma = vma.Next)
            {
                ulong first = ReferenceEquals(vma.Hugetlb, file) ? IndexOf(vma, vma.StartValue) : ulong.MaxValue;
                if (index >= first && index < IndexOf(vma, vma.EndValue))
                {
                    ulong at = vma.StartValue + ((index - first) << (PageGeometry.PageShift + _order));
                    Zap(cpu, vma, at, at + _bytes);
                    file.Unmapped.Add(mm);
                }
            }
        }
    }

    private void Mapped(Vma vma, ulong slot, int head, ulong entry)
    {
        core.Frames[head].InvertedMapCount--;
        core.Frames[head + 1].Private++;
        vma.Mm.HugetlbPages += (1 << _order);
        vma.Mm.Tables.WriteSlot(slot, entry);
    }

    private void Unmapped(Cpu cpu, Vma vma, int head)
    {
        core.Frames[head].InvertedMapCount++;
        core.Frames[head + 1].Private--;
        vma.Mm.HugetlbPages -= (1 << _order);
        Put(cpu, head);
    }

    /// <summary>Drops a reference; the last user's page goes back to the pool.</summary>
    private void Put(Cpu cpu, int head)
    {
        if (core.Frames[head].RefCount == 1)
        {
            Pool.Return(cpu, head);
        }
        else
        {
            core.Machine.AddReferences(head, -1);
        }
    }
}
