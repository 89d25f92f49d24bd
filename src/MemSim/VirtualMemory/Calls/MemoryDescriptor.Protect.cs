using MemSim.Hardware;
using MemSim.Lru;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Changing what areas allow.</content>
public sealed partial class MemoryDescriptor
{
    private const VmaFlags AccessFlags = VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec;

    /// <summary>Changes what a range allows (<c>mprotect()</c>).</summary>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes; rounded up to pages; 0 does nothing.</param>
    /// <param name="prot">What it shall allow.</param>
    /// <returns>EINVAL; ENOMEM for holes and too many areas (areas before stay changed, as in the kernel); EACCES when the file's mode does not allow it.</returns>
    public Errno Mprotect(VirtualAddress address, long length, Prot prot)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        const Prot grows = Prot.GrowsDown | Prot.GrowsUp;
        ulong start = address.Value;
        if ((start & PageMask) != 0 || (prot & grows) == grows)
        {
            return Errno.EINVAL;
        }

        if (length == 0)
        {
            return Errno.None;
        }

        if (!Align(length, out ulong bytes) || start + bytes <= start)
        {
            return Errno.ENOMEM;
        }

        if ((prot & ~(Prot.Read | Prot.Write | Prot.Execute | grows)) != 0)
        {
            return Errno.EINVAL;
        }

        ulong end = start + bytes;
        Vma? vma = _areas.Find(start);
        if (vma is null)
        {
            return Errno.ENOMEM;
        }

        if ((prot & Prot.GrowsDown) != 0)
        {
            if (vma.StartValue >= end)
            {
                return Errno.ENOMEM;
            }

            if ((vma.Flags & VmaFlags.GrowsDown) == 0)
            {
                return Errno.EINVAL;
            }

            start = vma.StartValue;
        }
        else if (vma.StartValue > start)
        {
            return Errno.ENOMEM;
        }
        else if ((prot & Prot.GrowsUp) != 0)
        {
            // No architecture here has areas that grow up.
            return Errno.EINVAL;
        }

        Cpu cpu = Cpu;
        VmaFlags wanted = (VmaFlags)(uint)(prot & (Prot.Read | Prot.Write | Prot.Execute));
        for (ulong at = start; ;)
        {
            VmaFlags flags = (vma.Flags & ~AccessFlags) | wanted;
            if ((wanted & ~(VmaFlags)((uint)flags >> 4)) != 0)
            {
                return Errno.EACCES;
            }

            ulong stop = Math.Min(end, vma.EndValue);
            Errno result = ProtectArea(cpu, vma, at, stop, flags);
            if (result != Errno.None)
            {
                return result;
            }

            at = stop;
            if (at >= end)
            {
                return Errno.None;
            }

            vma = At(at);
            if (vma is null)
            {
                return Errno.ENOMEM;
            }
        }
    }

    /// <summary>One area's part (<c>mprotect_fixup()</c>).</summary>
    private Errno ProtectArea(Cpu cpu, Vma vma, ulong start, ulong end, VmaFlags flags)
    {
        VmaFlags old = vma.Flags;
        if (flags == old)
        {
            return Errno.None;
        }

        if (CutsHugetlb(start, end))
        {
            return Errno.EINVAL;
        }

        long pages = (long)((end - start) >> PageGeometry.PageShift);
        bool charged = false;
        if ((flags & VmaFlags.Write) != 0)
        {
            if (!MayExpand(flags, pages) && MayExpand(old, pages))
            {
                return Errno.ENOMEM;
            }

            if ((old & (VmaFlags.Account | VmaFlags.Write | VmaFlags.HugeTlb | VmaFlags.Shared | VmaFlags.NoReserve)) == 0)
            {
                if (!_spaces.Commit.Charge(this, pages, Limits.IsAdmin))
                {
                    return Errno.ENOMEM;
                }

                charged = true;
                flags |= VmaFlags.Account;
            }
        }
        else if (_spaces.Rules.GivesChargeBack && (old & (VmaFlags.Account | VmaFlags.Shared)) == VmaFlags.Account && vma.File is null && vma.AnonVma is null)
        {
            flags &= ~VmaFlags.Account;
        }

        Vma? changed = ChangeRange(cpu, vma, start, end, flags, vma.Policy);
        if (changed is null)
        {
            if (charged)
            {
                _spaces.Commit.Uncharge(pages);
            }

            return Errno.ENOMEM;
        }

        if ((old & ~flags & VmaFlags.Account) != 0)
        {
            _spaces.Commit.Uncharge(pages);
        }

        changed.PageBits = _spaces.Protection.Bits(flags, changed.File);
        ChangeProtection(cpu, changed, start, end);
        Account(old, -pages);
        Account(flags, pages);
        if ((old & (VmaFlags.Write | VmaFlags.Shared | VmaFlags.Locked)) == VmaFlags.Locked && (flags & VmaFlags.Write) != 0)
        {
            _ = Populate(cpu, start, end, write: true);
        }

        return Errno.None;
    }

    /// <summary>Gives entries the rights of their area (<c>change_protection()</c>).</summary>
    private void ChangeProtection(Cpu cpu, Vma vma, ulong start, ulong end)
    {
        if (vma.Hugetlb is not null)
        {
            _spaces.Hugetlb.Protect(cpu, vma, start, end);
            return;
        }

        PteLayout layout = _spaces.Layout;
        PageEntries known = _spaces.Entries;
        ulong bits = vma.PageBits;
        bool mayWrite = (vma.Flags & VmaFlags.Write) != 0;
        bool changed = false;
        bool isPlain = layout.TryModifyPlainly(bits, out ulong keep, out ulong set) && Tables.EntryShift == 3 && !Tables.IsShared;
        PageTableCursor cursor = new(_spaces, vma, start, end);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                changed = true;
                if (cursor.IsCut)
                {
                    cursor.Split(cpu);
                }
                else
                {
                    _spaces.Huge.Protect(vma, cursor.Slot, cursor.Entry);
                }

                continue;
            }

            TableEntries table = cursor.Entries;
            if (isPlain)
            {
                changed |= ProtectWideTable(vma, table, keep, set, mayWrite);
                continue;
            }

            while (table.Next(out ulong entry))
            {
                ulong made;
                do
                {
                    if (!layout.IsPresent(entry))
                    {
                        made = ReadOnlySoftEntry(layout, entry);
                    }
                    else
                    {
                        made = layout.Modify(entry, bits);
                        if (mayWrite && layout.IsDirty(entry) && IsWritableAtOnce(known, vma, table.Address, entry))
                        {
                            made = layout.MakeWritable(made);
                        }
                    }

                    changed |= made != entry;
                }
                while (made != entry && !Tables.TryChangeSlot(table.Slot, ref entry, made));
            }
        }

        if (changed)
        {
            Tables.Mmu.FlushRange(cpu, Tables, new VirtualAddress(start), end - start);
        }
    }

    /// <summary>Gives a table's entries, of eight bytes each, other rights, where the hardware of no other CPU marks them meanwhile.</summary>
    /// <returns>Whether one changed.</returns>
    private bool ProtectWideTable(Vma vma, TableEntries table, ulong keep, ulong set, bool mayWrite)
    {
        PteLayout layout = _spaces.Layout;
        PageEntries known = _spaces.Entries;
        ReadOnlySpan<ulong> entries = table.WideEntries();
        bool changed = false;
        int first = entries.IndexOfAnyExcept(0UL);
        for (int i = first < 0 ? entries.Length : first; i < entries.Length; i++)
        {
            ulong entry = entries[i];
            if (entry == 0)
            {
                continue;
            }

            ulong made = layout.IsPlain(entry) ? (entry & keep) | set : layout.IsPresent(entry) ? layout.Modify(entry, vma.PageBits) : ReadOnlySoftEntry(layout, entry);
            if (mayWrite && layout.IsDirty(entry) && layout.IsPresent(entry) && IsWritableAtOnce(known, vma, table.FirstAddress + ((ulong)(uint)i << PageGeometry.PageShift), entry))
            {
                made = layout.MakeWritable(made);
            }

            if (made != entry)
            {
                Tables.WriteSlot(table.FirstSlot + ((ulong)(uint)i << 3), made);
                changed = true;
            }
        }

        return changed;
    }

    /// <summary>Whether the next write to a dirty page needs no fault: the page is shared by wish, or nobody else has it (<c>can_change_pte_writable()</c>).</summary>
    private static bool IsWritableAtOnce(PageEntries known, Vma vma, ulong address, ulong entry) =>
        vma.IsShared ? known.NormalPage(vma, address, entry) >= 0 : known.IsExclusiveAt(vma, address, entry);

    private static ulong ReadOnlySoftEntry(PteLayout layout, ulong entry) =>
        layout.TryDecodeSwapEntry(entry, out SoftEntry soft) && soft.Kind == SoftEntryKind.MigrationWrite ? layout.MakeMigrationEntry((int)soft.Offset, write: false) : entry;
}
