using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <content>Entries that map no page, and leaving page tables.</content>
internal sealed partial class MmCore
{
    /// <summary>An entry that is not present is cleared: the swap slot or the page being moved is one user poorer.</summary>
    public void DropSoftEntry(Cpu cpu, Vma vma, ulong address, ulong entry)
    {
        MemoryDescriptor mm = vma.Mm;
        SoftEntry soft = Decode(entry);
        switch (soft.Kind)
        {
            case SoftEntryKind.Swap:
                mm.SwapEntries--;
                Swap?.Free(cpu, soft);
                break;
            case SoftEntryKind.MigrationRead or SoftEntryKind.MigrationWrite:
                CountResident(mm, (int)soft.Offset, -1);
                break;
            case SoftEntryKind.Bad:
                ReportBadPageMap(vma, address, entry);
                break;
        }
    }

    /// <summary>Whether an entry maps, or stands for, a page of a file.</summary>
    public bool IsOfFile(Vma vma, ulong address, ulong entry)
    {
        if (Layout.IsPresent(entry))
        {
            int pfn = PeekPage(vma, address, entry);
            return pfn >= 0 && !IsAnon(pfn);
        }

        return Decode(entry) is var soft && soft.Kind is SoftEntryKind.MigrationRead or SoftEntryKind.MigrationWrite && !IsAnon((int)soft.Offset);
    }

    /// <summary>Makes an entry clean and write-protected, so that the next write is noticed (<c>page_mkclean_one()</c>).</summary>
    /// <returns>Whether it was dirty or writable.</returns>
    public bool CleanEntry(Cpu cpu, Vma vma, ulong address, int pfn)
    {
        PageTables tables = vma.Mm.Tables;
        ulong slot = tables.FindSlot(address);
        ulong entry = slot == 0 ? 0 : tables.ReadSlot(slot);
        if (entry == 0 || !Layout.IsPresent(entry) || Layout.Pfn(entry) != pfn || !(Layout.IsDirty(entry) || Layout.IsWritable(entry)))
        {
            return false;
        }

        while (!tables.TryChangeSlot(slot, ref entry, Layout.MakeClean(Layout.WriteProtect(entry))))
        {
        }

        _mmu.FlushPage(cpu, tables, new VirtualAddress(address));
        return true;
    }

    /// <summary>Counts a page of an address space by its kind.</summary>
    public void CountResident(MemoryDescriptor mm, int pfn, int change)
    {
        ref PageFrame frame = ref _frames[HeadOf(pfn)];
        if (frame.IsAnonymous)
        {
            mm.AnonPages += change;
        }
        else if (frame.IsSwapBacked)
        {
            mm.SharedMemoryPages += change;
        }
        else
        {
            mm.FilePages += change;
        }
    }

    /// <summary>No CPU shall walk through tables that are about to go (<c>leave_mm()</c>).</summary>
    public void LeaveEverywhere(MemoryDescriptor mm)
    {
        foreach (Cpu cpu in Machine.Cpus)
        {
            cpu.MmuOrNull?.Leave(mm.Tables);
        }
    }
}
