using MemSim.Hardware;
using MemSim.Pages;
using MemSim.Slab;

namespace MemSim.VirtualMemory;

/// <content>One entry at fork, new address spaces.</content>
internal sealed partial class MmCore
{
    /// <summary>Makes an empty address space.</summary>
    /// <returns>Null without memory.</returns>
    public MemoryDescriptor? NewMm(Cpu cpu, Rlimits limits)
    {
        VirtualAddress memory = Objects.Take(cpu, KernelObject.Mm);
        if (memory.IsNull)
        {
            return null;
        }

        PageTables? tables = _mmu.CreateTables(cpu);
        if (tables is null)
        {
            Objects.Give(cpu, KernelObject.Mm, memory);
            return null;
        }

        return new MemoryDescriptor(this, tables, limits, memory);
    }

    /// <summary>Copies an entry for a child (<c>copy_present_pte()</c>, <c>copy_nonpresent_pte()</c>).</summary>
    /// <returns>The child's entry.</returns>
    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.AggressiveInlining)]
    public ulong CopyEntry(MemoryDescriptor parent, MemoryDescriptor child, Vma to, ulong address, ulong slot, ulong entry, bool isCow, ref bool protectedAny)
    {
        if (!Layout.IsPresent(entry))
        {
            return CopySoftEntry(parent, child, to, address, slot, entry, isCow);
        }

        int pfn = Layout.Pfn(entry);
        if (IsPlainPageAt(to, address, pfn) && _frames[pfn].IsAnonymous)
        {
            ref PageFrame frame = ref _frames[pfn];
            Machine.AddReferences(pfn, 1);
            _ = _lru.ClearFlags(ref frame, PageFrame.AnonExclusive);
            frame.InvertedMapCount--;
            child.AnonPages++;
        }
        else if (NormalPage(to, address, entry) >= 0)
        {
            ref PageFrame frame = ref _frames[HeadOf(pfn)];
            Get(pfn);
            if (frame.IsAnonymous)
            {
                DuplicateAnonRmap(pfn);
            }
            else
            {
                AddFileRmap(pfn);
            }

            CountResident(child, pfn, 1);
        }

        if (isCow && Layout.IsWritable(entry))
        {
            while (!parent.Tables.TryChangeSlot(slot, ref entry, Layout.WriteProtect(entry)))
            {
            }

            entry = Layout.WriteProtect(entry);
            protectedAny = true;
        }

        return to.IsShared ? Layout.MakeOld(Layout.MakeClean(entry)) : Layout.MakeOld(entry);
    }

    private ulong CopySoftEntry(MemoryDescriptor parent, MemoryDescriptor child, Vma to, ulong address, ulong slot, ulong entry, bool isCow)
    {
        SoftEntry soft = Decode(entry);
        switch (soft.Kind)
        {
            case SoftEntryKind.Swap:
                Swap?.Duplicate(soft);
                child.SwapEntries++;
                if (soft.Exclusive)
                {
                    entry = Layout.ClearExclusive(entry);
                    parent.Tables.WriteSlot(slot, entry);
                }

                break;
            case SoftEntryKind.MigrationRead or SoftEntryKind.MigrationWrite:
                CountResident(child, (int)soft.Offset, 1);
                ClearFlag((int)soft.Offset, PageFrame.AnonExclusive);
                if (isCow && soft.Kind == SoftEntryKind.MigrationWrite)
                {
                    entry = Layout.MakeMigrationEntry((int)soft.Offset, write: false);
                    parent.Tables.WriteSlot(slot, entry);
                }

                break;
            case SoftEntryKind.Bad:
                // The child does without.
                ReportBadPageMap(to, address, entry);
                return 0;
        }

        return entry;
    }
}
