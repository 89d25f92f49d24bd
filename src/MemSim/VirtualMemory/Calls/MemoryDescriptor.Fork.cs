using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Copying an address space.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Copies areas and page tables for a child; private pages are shared until somebody writes (<c>dup_mmap()</c>).</summary>
    /// <returns>Null without memory: nothing is left of the copy.</returns>
    internal MemoryDescriptor? Fork(Cpu cpu)
    {
        MemoryDescriptor? child = _spaces.Create(cpu, Limits);
        if (child is null)
        {
            return null;
        }

        child.HeapStart = HeapStart;
        child.HeapEnd = HeapEnd;
        child.StackStart = StackStart;
        if (IsKnownToKhugepaged)
        {
            _spaces.Huge.Settings.Khugepaged.Enter(child);
        }

        child.InheritMerging(this, isFork: true);
        bool copied = true;
        bool protectedAny = false;
        for (Vma? vma = _areas.First; vma is not null && copied; vma = vma.Next)
        {
            copied = (vma.Flags & VmaFlags.DontCopy) != 0 || CopyArea(cpu, child, vma, ref protectedAny);
        }

        _spaces.Forked.Release(cpu);
        if (protectedAny)
        {
            // Entries of this space lost their write permission.
            Tables.Mmu.FlushAddressSpace(cpu, Tables);
        }

        if (!copied)
        {
            _tidings?.Forget();
            child.Exit(cpu);
            return null;
        }

        return child;
    }

    private bool CopyArea(Cpu cpu, MemoryDescriptor child, Vma vma, ref bool protectedAny)
    {
        long pages = vma.Pages;
        bool charged = (vma.Flags & VmaFlags.Account) != 0;
        if (charged && !_spaces.Commit.Charge(this, pages, Limits.IsAdmin))
        {
            return false;
        }

        bool told = vma.Userfaults is { } watcher && watcher.Tells(UserfaultFeatures.TellsForks);
        VmaFlags kept = ~(VmaFlags.Locked | VmaFlags.LockOnFault | (told ? 0 : UserfaultFlags));
        Vma? copy = child.NewVma(cpu, vma.StartValue, vma.EndValue, vma.Flags & kept);
        if (copy is null)
        {
            if (charged)
            {
                _spaces.Commit.Uncharge(pages);
            }

            return false;
        }

        copy.PgOff = vma.PgOff;
        copy.PageBits = vma.PageBits;
        copy.File = vma.File?.Get();
        copy.Device = vma.Device;
        copy.Policy = vma.Policy;
        copy.Userfaults = told ? NeedTidings().ChildOf(vma.Userfaults!, child) : null;
        if (vma.Hugetlb is { } huge)
        {
            copy.Hugetlb = huge;
            huge.Users++;
        }

        bool wipes = (vma.Flags & VmaFlags.WipeOnFork) != 0;
        if (!wipes && !_spaces.Anon.Fork(cpu, copy, vma))
        {
            copy.File?.Put(cpu);
            _spaces.Hugetlb.Close(cpu, copy);
            child.FreeVma(cpu, copy);
            if (charged)
            {
                _spaces.Commit.Uncharge(pages);
            }

            return false;
        }

        child.InsertVma(copy);
        child.Account(copy.Flags, pages);

        if (vma.Hugetlb is not null)
        {
            return wipes || _spaces.Hugetlb.Copy(cpu, copy, vma, ref protectedAny);
        }

        // Pages of files are found again by faults; only private pages must be copied, and frames that no fault could find; and protection that stays.
        bool found = vma.AnonVma is null && (vma.Flags & (VmaFlags.MaybeGuard | VmaFlags.PfnMap)) == 0 && (copy.Flags & VmaFlags.UserfaultProtect) == 0;
        return wipes || found || CopyEntries(cpu, child, copy, vma, ref protectedAny);
    }

    /// <summary>Copies the entries of an area (<c>copy_page_range()</c>).</summary>
    private bool CopyEntries(Cpu cpu, MemoryDescriptor child, Vma to, Vma from, ref bool protectedAny)
    {
        bool isCow = from.IsCow;
        bool watched = from.Userfaults is not null && to.Userfaults is null;
        PageTableCursor cursor = new(_spaces, from, from.StartValue, from.EndValue);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                if (HasPinned && _spaces.Forked.IsPinned(_spaces.Layout.Pfn(cursor.Entry)))
                {
                    cursor.Split(cpu);
                    continue;
                }

                if (!_spaces.Huge.Copy(cpu, child, Tables, cursor.Address, cursor.Slot, cursor.Entry, ref protectedAny))
                {
                    return false;
                }

                continue;
            }

            ulong target = child.Tables.EnsureSlot(cpu, cursor.Address);
            if (target == 0)
            {
                return false;
            }

            if (!HasPinned && !watched)
            {
                _spaces.Forked.CopyTable(this, child, to, cursor.Entries, target, isCow, ref protectedAny);
                continue;
            }

            if (HasPinned && !_spaces.Forked.Reserve(cpu, from, cursor.Entries))
            {
                return false;
            }

            _spaces.Forked.CopyTableCarefully(cpu, this, child, from, to, cursor.Entries, target, isCow, ref protectedAny);
        }

        return true;
    }
}
