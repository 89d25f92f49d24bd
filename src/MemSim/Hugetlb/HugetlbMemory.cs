using MemSim.Faults;
using MemSim.Hardware;
using MemSim.PageCache;
using MemSim.VirtualMemory;

namespace MemSim.Hugetlb;

/// <summary>Mappings of the pool's pages (<c>mm/hugetlb.c</c> of 6.1): faults, copies, fork, unmapping. Pages are on no LRU list and never move.</summary>
internal sealed partial class HugetlbMemory(AddressSpaces spaces)
{
    private readonly PteLayout _layout = spaces.Layout;

    public static bool Maps(Vma vma) => (vma.Flags & VmaFlags.HugeTlb) != 0;

    /// <summary>Bytes of the huge pages of an area.</summary>
    public static ulong BytesOf(Vma vma) => vma.Hugetlb!.Bytes;

    /// <summary>Whether a range cuts a huge page: areas of such pages are only changed in whole ones.</summary>
    public static bool Cuts(Vma vma, ulong start, ulong end) => ((start | end) & (BytesOf(vma) - 1)) != 0;

    public static ulong IndexOf(Vma vma, ulong address) => ((address - vma.StartValue) / BytesOf(vma)) + (vma.PgOff >> vma.Hugetlb!.Pool.Order);

    /// <summary>The slot that maps a huge page of an area, or would; an entry that was overwritten counts as empty.</summary>
    /// <returns>0 when no table covers the address.</returns>
    public ulong Find(Vma vma, ulong address, out ulong entry)
    {
        PageTables tables = vma.Mm.Tables;
        ulong slot = tables.FindSlotOnLevel(address, vma.Hugetlb!.Pool.Level);
        entry = slot == 0 ? 0 : tables.ReadSlot(slot);
        entry = entry == 0 || IsMapped(vma, entry) ? entry : 0;
        return slot;
    }

    /// <summary>Whether an entry maps a page that the area's pool has given out and counts as mapped: entries lie in simulated memory, where anybody may have written anything.</summary>
    public bool IsMapped(Vma vma, ulong entry)
    {
        int head = _layout.Pfn(entry);
        return _layout.IsHuge(entry) && vma.Hugetlb!.Pool.IsInUse(head) && spaces.Frames[head].IsMapped;
    }

    /// <summary>As <see cref="Find"/>, of one who changes entries: an overwritten one is reported and emptied.</summary>
    private ulong FindToChange(Vma vma, ulong address, out ulong entry)
    {
        ulong slot = Find(vma, address, out entry);
        if (slot != 0 && entry == 0 && vma.Mm.Tables.ReadSlot(slot) is var found and not 0 && !_layout.IsHwPoison(found))
        {
            vma.Mm.Tables.ClearBad(slot, "huge page entry");
        }

        return slot;
    }

    /// <summary>Promises pages to a new mapping (<c>hugetlb_reserve_pages()</c>): those of its range that are neither there nor promised yet.</summary>
    /// <returns>False when the pool has too few.</returns>
    public static bool Reserve(Cpu cpu, HugetlbFile file, ulong first, ulong end)
    {
        List<ulong> missing = [];
        for (ulong i = first; i < end; i++)
        {
            if (!file.Pages.ContainsKey(i) && !file.Reserved.Contains(i))
            {
                missing.Add(i);
            }
        }

        if (!file.Pool.Reserve(cpu, missing.Count))
        {
            return false;
        }

        file.Reserved.UnionWith(missing);
        return true;
    }

    /// <summary>A fault (<c>hugetlb_fault()</c>).</summary>
    public FaultResult Fault(Cpu cpu, Vma vma, ulong address, FaultFlags flags)
    {
        address &= ~(BytesOf(vma) - 1);
        PageTables tables = vma.Mm.Tables;
        ulong slot = tables.EnsureSlotOnLevel(cpu, address, vma.Hugetlb!.Pool.Level);
        if (slot == 0)
        {
            return FaultResult.Oom;
        }

        _ = FindToChange(vma, address, out ulong entry);
        if (entry == 0 && _layout.IsHwPoison(tables.ReadSlot(slot)))
        {
            return FaultResult.HwPoison;
        }

        bool write = (flags & FaultFlags.Write) != 0;
        if (entry == 0)
        {
            return FirstFault(cpu, vma, address, slot, write);
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
        ulong bytes = BytesOf(vma);
        for (ulong at = start; at < end; at += bytes)
        {
            ulong slot = FindToChange(vma, at, out ulong entry);
            if (entry != 0)
            {
                tables.WriteSlot(slot, 0);
                tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(at), bytes);
                Unmapped(cpu, vma, _layout.Pfn(entry));
            }
            else if (slot != 0 && _layout.IsHwPoison(tables.ReadSlot(slot)))
            {
                tables.WriteSlot(slot, 0);
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
        for (ulong at = from.StartValue; at < from.EndValue; at += BytesOf(from))
        {
            ulong slot = FindToChange(from, at, out ulong entry);
            if (entry == 0 && (slot == 0 || !_layout.IsHwPoison(tables.ReadSlot(slot))))
            {
                continue;
            }

            ulong target = to.Mm.Tables.EnsureSlotOnLevel(cpu, at, from.Hugetlb!.Pool.Level);
            if (target == 0)
            {
                return false;
            }

            if (entry == 0)
            {
                to.Mm.Tables.OverwriteSlot(target, tables.ReadSlot(slot));
                continue;
            }

            int head = _layout.Pfn(entry);
            spaces.Machine.Frames.AddReferences(head, 1);
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
        ulong bytes = BytesOf(vma);
        for (ulong at = start; at < end; at += bytes)
        {
            ulong slot = FindToChange(vma, at, out ulong entry);
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

        if (!file.IsShared && ReferenceEquals(vma.Mm, file.Owner))
        {
            GiveBack(cpu, file, IndexOf(vma, vma.StartValue), IndexOf(vma, vma.EndValue));
        }

        vma.Hugetlb = null;
        Leave(cpu, file);
    }

    /// <summary>An area or a name of a file less: with the last one its pages and promises go.</summary>
    public void Leave(Cpu cpu, HugetlbFile file)
    {
        if (--file.Users != 0)
        {
            return;
        }

        Remove(cpu, file, 0, ulong.MaxValue);
        if (file.Backing is { } backing)
        {
            Leave(cpu, backing);
        }
    }

    /// <summary>Takes the pages of a range away from a file, and up to its end the promises (<c>remove_inode_hugepages()</c>): a hole leaves those of pages never used.</summary>
    public void Remove(Cpu cpu, HugetlbFile file, ulong first, ulong end)
    {
        foreach ((ulong index, int head) in file.Pages.Where(page => page.Key >= first && page.Key < end).ToList())
        {
            file.Pages.Remove(index);
            Put(cpu, file.Pool, head);
        }

        if (end == ulong.MaxValue)
        {
            GiveBack(cpu, file, first, end);
        }
    }

    private static void GiveBack(Cpu cpu, HugetlbFile file, ulong first, ulong end) => file.Pool.Unreserve(cpu, file.Reserved.RemoveWhere(i => i >= first && i < end));

    /// <summary>First use of a huge page here (<c>hugetlb_no_page()</c>).</summary>
    private FaultResult FirstFault(Cpu cpu, Vma vma, ulong address, ulong slot, bool write)
    {
        HugetlbFile file = vma.Hugetlb!;
        if (file.Unmapped.Contains(vma.Mm))
        {
            spaces.Faults.Story?.Add("its pages were taken away when the pool was too small to copy them: SIGBUS");
            return FaultResult.SigBus;
        }

        ulong index = IndexOf(vma, address);
        if ((file.Backing ?? file).Host is { } host && index >= (ulong)host.Size / file.Bytes)
        {
            spaces.Faults.Story?.Add("beyond the end of the file: SIGBUS");
            return FaultResult.SigBus;
        }

        if (!(file.Backing ?? file).Pages.TryGetValue(index, out int head))
        {
            bool reserved = file.MayUseReserve(vma.Mm) && file.Reserved.Contains(index);
            head = file.Pool.Take(cpu, reserved);
            if (head < 0)
            {
                spaces.Faults.Story?.Add("the pool of huge pages has none to spare: SIGBUS");
                return FaultResult.SigBus;
            }

            if (reserved)
            {
                file.Reserved.Remove(index);
            }

            spaces.Machine.Ram.Zero(head, 1L << file.Pool.Order);
            spaces.Faults.Story?.Add($"huge page 0x{head:x} of the pool, zeroed{(reserved ? ", from the reservation" : "")}");
            if (file.IsShared)
            {
                file.Pages.Add(index, head);
                spaces.Machine.Frames.AddReferences(head, 1);
            }
        }
        else if (IsPoisoned(file.Pool, head))
        {
            return FaultResult.HwPoison;
        }
        else
        {
            spaces.Machine.Frames.AddReferences(head, 1);
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
        if (!file.IsShared && (spaces.Maps.TotalMapCount(head) > 1 || file.Backing?.Pages.GetValueOrDefault(IndexOf(vma, address), -1) == head))
        {
            bool reserved = file.MayUseReserve(vma.Mm) && file.Reserved.Contains(IndexOf(vma, address));
            int copy = file.Pool.Take(cpu, reserved);
            if (copy >= 0)
            {
                ulong made = _layout.MakeHuge(_layout.Make(copy, vma.PageBits));
                for (int i = 0; i < 1 << file.Pool.Order; i++)
                {
                    spaces.Pages.CopyPage(head + i, copy + i);
                }

                if (reserved)
                {
                    file.Reserved.Remove(IndexOf(vma, address));
                }

                tables.WriteSlot(slot, 0);
                tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(address), BytesOf(vma));
                Unmapped(cpu, vma, head);
                Mapped(vma, slot, copy, _layout.MakeWritable(_layout.MakeDirty(_layout.MakeYoung(made))));
                spaces.Faults.Story?.Add($"huge page 0x{head:x} is shared: copied to 0x{copy:x}");
                return FaultResult.None;
            }

            if (!ReferenceEquals(vma.Mm, file.Owner) || file.Backing?.Pages.GetValueOrDefault(IndexOf(vma, address), -1) == head)
            {
                spaces.Faults.Story?.Add("the pool of huge pages has none for a copy: SIGBUS");
                return FaultResult.SigBus;
            }

            UnmapFromOthers(cpu, file, IndexOf(vma, address));
            spaces.Faults.Story?.Add("the pool has no page for a copy: the others lose this one, its owner keeps it");
        }

        entry = _layout.MakeDirty(_layout.MakeYoung(entry));
        tables.WriteSlot(slot, (vma.Flags & VmaFlags.Write) != 0 ? _layout.MakeWritable(entry) : entry);
        return FaultResult.None;
    }

    /// <summary>Takes a page away from everybody but the owner (<c>unmap_ref_private()</c>).</summary>
    private void UnmapFromOthers(Cpu cpu, HugetlbFile file, ulong index)
    {
        foreach (MemoryDescriptor mm in spaces.All)
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
                    ulong at = vma.StartValue + ((index - first) * BytesOf(vma));
                    Zap(cpu, vma, at, at + BytesOf(vma));
                    file.Unmapped.Add(mm);
                }
            }
        }
    }

    private void Mapped(Vma vma, ulong slot, int head, ulong entry)
    {
        spaces.Frames[head].InvertedMapCount--;
        spaces.Frames[head + 1].Private++;
        vma.Mm.HugetlbPages += 1L << vma.Hugetlb!.Pool.Order;
        vma.Mm.Tables.OverwriteSlot(slot, entry);
    }

    private void Unmapped(Cpu cpu, Vma vma, int head)
    {
        spaces.Frames[head].InvertedMapCount++;
        spaces.Frames[head + 1].Private--;
        vma.Mm.HugetlbPages -= 1L << vma.Hugetlb!.Pool.Order;
        Put(cpu, vma.Hugetlb.Pool, head);
    }

    /// <summary>Drops a reference; the last user's page goes back to the pool.</summary>
    private void Put(Cpu cpu, HugetlbPool pool, int head)
    {
        if (spaces.Frames[head].RefCount == 1)
        {
            pool.Return(cpu, head);
        }
        else
        {
            spaces.Machine.Frames.AddReferences(head, -1);
        }
    }
}
