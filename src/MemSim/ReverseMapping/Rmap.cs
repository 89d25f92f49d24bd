using MemSim.Hardware;
using MemSim.Lru;
using MemSim.PageCache;
using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim.ReverseMapping;

/// <summary>Finds all entries that map a page and changes them (<c>mm/rmap.c</c>).</summary>
/// <remarks>The page is locked and held by the caller, and nothing here allocates, so the areas stay while they are walked.</remarks>
internal sealed class Rmap(MmCore core, PageTableAging aging)
{
    private enum Step
    {
        Next,
        Stop,
    }

    private interface IVisitor
    {
        /// <summary>An area in which the page may be, and the entry at its address.</summary>
        Step Visit(MmCore core, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry);
    }

    public PageReferences Referenced(Cpu cpu, int pfn)
    {
        if (core.IsPartOfHuge(pfn))
        {
            return core.Huge.Referenced(cpu, pfn);
        }

        Reference visitor = new() { Pfn = pfn, Around = core.Machine.Lru.ByGeneration ? aging : null };
        if (core.MapCount(pfn) != 0)
        {
            Walk(cpu, pfn, ref visitor);
        }

        return new PageReferences(visitor.Count, visitor.Executable, visitor.Locked);
    }

    public bool Unmap(Cpu cpu, int pfn)
    {
        if (core.IsPartOfHuge(pfn))
        {
            // Huge pages are split before they are taken out of page tables.
            return false;
        }

        Removal visitor = new() { Pfn = pfn };
        if (core.MapCount(pfn) != 0)
        {
            Walk(cpu, pfn, ref visitor);
        }

        return core.MapCount(pfn) == 0;
    }

    public bool UnmapForMigration(Cpu cpu, int pfn)
    {
        if (core.IsPartOfHuge(pfn))
        {
            return false;
        }

        ToMigration visitor = new() { Pfn = pfn };
        if (core.MapCount(pfn) != 0)
        {
            Walk(cpu, pfn, ref visitor);
        }

        return core.MapCount(pfn) == 0;
    }

    public void RestoreMappings(Cpu cpu, int from, int to)
    {
        FromMigration visitor = new() { From = from, To = to };
        Walk(cpu, to, ref visitor);
    }

    /// <summary>Visits the entries at the page's address in all areas that might map it (<c>rmap_walk()</c>).</summary>
    private void Walk<TVisitor>(Cpu cpu, int pfn, ref TVisitor visitor)
        where TVisitor : struct, IVisitor
    {
        ref PageFrame frame = ref core.Frames[pfn];
        uint index = frame.Index;
        if (frame.IsAnonymous)
        {
            if (!core.Machine.Mappings.TryFind(frame.Mapping, out AnonVma? anon))
            {
                return;
            }

            List<AnonVmaChain> areas = anon.Areas;
            for (int i = 0; i < areas.Count; i++)
            {
                if (Look(cpu, areas[i].Vma, index, ref visitor) == Step.Stop)
                {
                    return;
                }
            }

            return;
        }

        if (!core.Machine.Mappings.TryFind(frame.Mapping, out FileMapping? mapping))
        {
            return;
        }

        foreach (IMappedArea area in mapping.Areas)
        {
            if (area is Vma vma && Look(cpu, vma, index, ref visitor) == Step.Stop)
            {
                return;
            }
        }
    }

    private Step Look<TVisitor>(Cpu cpu, Vma vma, uint index, ref TVisitor visitor)
        where TVisitor : struct, IVisitor
    {
        if (!vma.TryAddressOf(index, out ulong address))
        {
            return Step.Next;
        }

        ulong slot = vma.Mm.Tables.FindSlot(address);
        ulong entry = slot == 0 ? 0 : vma.Mm.Tables.ReadSlot(slot);
        return entry == 0 ? Step.Next : visitor.Visit(core, cpu, vma, address, slot, entry);
    }

    private static bool Maps(MmCore core, ulong entry, int pfn) => core.Layout.IsPresent(entry) && core.Layout.Pfn(entry) == pfn;

    /// <summary>Clears an entry so that no CPU uses it any more; its dirty state goes to the page.</summary>
    /// <returns>The entry as it was at last.</returns>
    private static ulong Clear(MmCore core, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, int pfn)
    {
        entry = vma.Mm.Tables.ClearSlot(slot, entry);
        core.Machine.Mmu.FlushPage(cpu, vma.Mm.Tables, new VirtualAddress(address));
        if (!core.Layout.IsDirty(entry))
        {
            return entry;
        }

        if (core.IsAnon(pfn) || vma.Mapping is not { } mapping)
        {
            core.SetFlag(pfn, PageFlags.Dirty);
        }
        else
        {
            _ = mapping.SetDirty(cpu, pfn);
        }

        return entry;
    }

    private struct Reference : IVisitor
    {
        public int Pfn;
        public PageTableAging? Around;
        public int Count;
        public bool Executable;
        public bool Locked;

        public Step Visit(MmCore core, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (!Maps(core, entry, Pfn))
            {
                return Step.Next;
            }

            if ((vma.Flags & VmaFlags.Locked) != 0)
            {
                Locked = true;
                return Step.Stop;
            }

            if (core.Layout.IsYoung(entry))
            {
                if (Around is not null)
                {
                    Around.LookAround(cpu, vma, address);
                    entry = vma.Mm.Tables.ReadSlot(slot);
                }

                // x86 leaves the TLB alone; arm64 flushes, or the entry would not become young again.
                while (!vma.Mm.Tables.TryChangeSlot(slot, ref entry, core.Layout.MakeOld(entry)))
                {
                }

                if (!core.Addresses.IsX86)
                {
                    core.Machine.Mmu.FlushPage(cpu, vma.Mm.Tables, new VirtualAddress(address));
                }

                if ((vma.Flags & VmaFlags.SequentialRead) == 0)
                {
                    Count++;
                    Executable |= (vma.Flags & VmaFlags.Exec) != 0;
                }
            }

            return Step.Next;
        }
    }

    private struct Removal : IVisitor
    {
        public int Pfn;

        public readonly Step Visit(MmCore core, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (!Maps(core, entry, Pfn))
            {
                return Step.Next;
            }

            if ((vma.Flags & VmaFlags.Locked) != 0)
            {
                return Step.Stop;
            }

            MemoryDescriptor mm = vma.Mm;
            bool anon = core.IsAnon(Pfn);
            bool lazy = anon && !core.HasFlag(Pfn, PageFlags.SwapBacked);
            if (anon && !lazy && !core.IsSwapCache(Pfn))
            {
                return Step.Stop;
            }

            entry = Clear(core, cpu, vma, address, slot, entry, Pfn);
            mm.NotePeak();
            if (lazy && (core.HasFlag(Pfn, PageFlags.Dirty) || core.RefCount(Pfn) != 1 + core.MapCount(Pfn)))
            {
                // Written again after MADV_FREE: it is ordinary memory once more.
                mm.Tables.WriteSlot(slot, entry);
                core.SetFlag(Pfn, PageFlags.SwapBacked);
                return Step.Stop;
            }

            core.CountResident(mm, Pfn, -1);
            if (anon && !lazy)
            {
                SoftEntry soft = core.Swap!.EntryOf(Pfn);
                ulong made = core.Layout.MakeSwapEntry(soft.Type, soft.Offset);
                core.Swap.Duplicate(soft);
                mm.SwapEntries++;
                if (core.IsExclusive(Pfn))
                {
                    core.ClearFlag(Pfn, PageFrame.AnonExclusive);
                    made = core.Layout.MakeExclusive(made);
                }

                mm.Tables.WriteSlot(slot, made);
            }

            core.RemoveRmap(cpu, Pfn, vma);
            core.Put(cpu, Pfn);
            return core.MapCount(Pfn) == 0 ? Step.Stop : Step.Next;
        }
    }

    private struct ToMigration : IVisitor
    {
        public int Pfn;

        public readonly Step Visit(MmCore core, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (!Maps(core, entry, Pfn))
            {
                return Step.Next;
            }

            entry = Clear(core, cpu, vma, address, slot, entry, Pfn);
            ulong made = core.Layout.MakeMigrationEntry(Pfn, core.Layout.IsWritable(entry));
            if (core.IsAnon(Pfn) && core.IsExclusive(Pfn))
            {
                core.ClearFlag(Pfn, PageFrame.AnonExclusive);
                made = core.Layout.MakeExclusive(made);
            }

            vma.Mm.Tables.WriteSlot(slot, made);
            core.RemoveRmap(cpu, Pfn, vma);
            core.Put(cpu, Pfn);
            return core.MapCount(Pfn) == 0 ? Step.Stop : Step.Next;
        }
    }

    private struct FromMigration : IVisitor
    {
        public int From;
        public int To;

        public readonly Step Visit(MmCore core, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (!core.Layout.TryDecodeSwapEntry(entry, out SoftEntry soft) || soft.Kind is not (SoftEntryKind.MigrationRead or SoftEntryKind.MigrationWrite) || soft.Offset != From)
            {
                return Step.Next;
            }

            bool write = soft.Kind == SoftEntryKind.MigrationWrite;
            ulong made = core.Layout.Make(To, vma.PageBits);
            if (write && (vma.Flags & VmaFlags.Write) != 0)
            {
                made = core.Layout.MakeWritable(core.Layout.MakeDirty(made));
            }

            core.Get(To);
            if (core.IsAnon(To))
            {
                core.AddAnonRmap(To, vma, address, exclusive: write || soft.Exclusive);
            }
            else
            {
                core.AddFileRmap(To);
            }

            vma.Mm.Tables.WriteSlot(slot, made);
            if ((vma.Flags & VmaFlags.Locked) != 0)
            {
                core.Mlock(cpu, To);
            }

            return Step.Next;
        }
    }
}
