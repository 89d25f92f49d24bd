using System.Diagnostics;
using MemSim.Hardware;
using MemSim.Ksm;
using MemSim.Lru;
using MemSim.PageCache;
using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim.ReverseMapping;

/// <summary>Finds all entries that map a page and changes them (<c>mm/rmap.c</c>).</summary>
/// <remarks>The page is locked and held by the caller, and nothing here allocates, so the areas stay while they are walked.</remarks>
internal sealed partial class Rmap(AddressSpaces spaces, PageTableAging aging)
{
    private enum Step
    {
        Next,
        Stop,
    }

    private interface IVisitor
    {
        /// <summary>An area in which the page may be, and the entry at its address.</summary>
        Step Visit(AddressSpaces spaces, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry);

        /// <summary>Whether areas are visited that have no entry there.</summary>
        static virtual bool SeesHoles => false;
    }

    public PageReferences Referenced(Cpu cpu, int pfn)
    {
        if (spaces.Pages.IsPartOfHuge(pfn))
        {
            return spaces.Huge.Referenced(cpu, pfn);
        }

        Reference visitor = new() { Pfn = pfn, Around = spaces.Machine.Lru.ByGeneration ? aging : null, Idle = spaces.Machine.Lru.Idle };
        if (spaces.Maps.MapCount(pfn) != 0)
        {
            Walk(cpu, pfn, ref visitor);
        }

        return new PageReferences(visitor.Count, visitor.Executable, visitor.Locked);
    }

    public bool Unmap(Cpu cpu, int pfn)
    {
        if (spaces.Pages.IsPartOfHuge(pfn))
        {
            // Large pages are split before they are taken out of page tables, but for those that were given up.
            return spaces.Pages.IsAnon(pfn) && !spaces.Pages.HasFlag(pfn, PageFlags.SwapBacked) && spaces.Huge.Discard(cpu, pfn);
        }

        Debug.Assert(spaces.Frames[pfn].IsLocked, "who takes a page out of page tables has it locked");
        Removal visitor = new() { Pfn = pfn };
        if (spaces.Maps.MapCount(pfn) != 0)
        {
            Walk(cpu, pfn, ref visitor);
        }

        return spaces.Maps.MapCount(pfn) == 0;
    }

    public bool UnmapForMigration(Cpu cpu, int pfn)
    {
        if (spaces.Pages.IsPartOfHuge(pfn))
        {
            return false;
        }

        Debug.Assert(spaces.Frames[pfn].IsLocked, "who takes a page out of page tables has it locked");
        ToMigration visitor = new() { Pfn = pfn };
        if (spaces.Maps.MapCount(pfn) != 0)
        {
            Walk(cpu, pfn, ref visitor);
        }

        return spaces.Maps.MapCount(pfn) == 0;
    }

    public void RestoreMappings(Cpu cpu, int from, int to)
    {
        Debug.Assert(spaces.Frames[to].IsLocked && (from == to || spaces.Maps.MapCount(to) == 0), "the page is locked; a new one is not mapped yet");
        FromMigration visitor = new() { From = from, To = to };
        Walk(cpu, to, ref visitor);
    }

    /// <summary>Visits the entries at the page's address in all areas that might map it (<c>rmap_walk()</c>).</summary>
    private void Walk<TVisitor>(Cpu cpu, int pfn, ref TVisitor visitor)
        where TVisitor : struct, IVisitor
    {
        ref PageFrame frame = ref spaces.Frames[pfn];
        uint index = frame.Index;
        if (frame.IsMerged)
        {
            WalkMerged(cpu, pfn, ref visitor);
            return;
        }

        if (frame.IsAnonymous)
        {
            if (!spaces.Machine.Frames.Mappings.TryFind(frame.Mapping, out AnonVma? anon))
            {
                return;
            }

            List<AnonVmaChain> areas = anon.Areas;
            for (int i = 0; i < areas.Count; i++)
            {
                Debug.Assert(areas[i].Place == i && ReferenceEquals(areas[i].Anon, anon), "links know their places and whose they are");
                if (Look(cpu, areas[i].Vma, index, ref visitor) == Step.Stop)
                {
                    return;
                }
            }

            return;
        }

        if (!spaces.Machine.Frames.Mappings.TryFind(frame.Mapping, out FileMapping? mapping))
        {
            return;
        }

        foreach (IMappedArea area in mapping.Areas)
        {
            Debug.Assert(area is not Vma linked || ReferenceEquals(linked.Mapping, mapping), "an area of the file maps it");
            if (area is Vma vma && Look(cpu, vma, index, ref visitor) == Step.Stop)
            {
                return;
            }
        }
    }

    /// <summary>A merged page is mapped where ksmd put it, and at the same addresses of forked children: the former first (<c>rmap_walk_ksm()</c>).</summary>
    private void WalkMerged<TVisitor>(Cpu cpu, int pfn, ref TVisitor visitor)
        where TVisitor : struct, IVisitor
    {
        if (SamepageMerger.NodeOf(spaces.Machine, pfn) is not { } node)
        {
            return;
        }

        for (int pass = 0; pass < 2; pass++)
        {
            foreach (RmapItem item in node.Items)
            {
                foreach (AnonVmaChain link in item.Anon?.Areas ?? [])
                {
                    Vma vma = link.Vma;
                    if (!vma.Contains(item.Address) || ReferenceEquals(vma.Mm, item.Space.Mm) == (pass == 1))
                    {
                        continue;
                    }

                    ulong slot = vma.Mm.Tables.FindSlot(item.Address);
                    ulong entry = slot == 0 ? 0 : vma.Mm.Tables.ReadSlot(slot);
                    if ((entry != 0 || TVisitor.SeesHoles) && visitor.Visit(spaces, cpu, vma, item.Address, slot, entry) == Step.Stop)
                    {
                        return;
                    }
                }
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
        return entry == 0 && !TVisitor.SeesHoles ? Step.Next : visitor.Visit(spaces, cpu, vma, address, slot, entry);
    }

    private static bool Maps(AddressSpaces spaces, ulong entry, int pfn) => spaces.Layout.IsPresent(entry) && spaces.Layout.Pfn(entry) == pfn;

    /// <summary>Clears an entry so that no CPU uses it any more; its dirty state goes to the page.</summary>
    /// <returns>The entry as it was at last.</returns>
    private static ulong Clear(AddressSpaces spaces, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, int pfn)
    {
        Debug.Assert(Maps(spaces, entry, pfn) && spaces.Frames[pfn].MapCount > 0, "the entry maps the page");
        entry = vma.Mm.Tables.ClearSlot(slot, entry);
        spaces.Machine.Mmu.FlushPage(cpu, vma.Mm.Tables, new VirtualAddress(address));
        if (!spaces.Layout.IsDirty(entry))
        {
            return entry;
        }

        if (spaces.Pages.IsAnon(pfn) || vma.Mapping is not { } mapping)
        {
            spaces.Pages.SetFlag(pfn, PageFlags.Dirty);
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
        public IdlePages? Idle;
        public int Count;
        public bool Executable;
        public bool Locked;

        public static bool SeesHoles => true;

        public Step Visit(AddressSpaces spaces, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (!Maps(spaces, entry, Pfn))
            {
                NoteUse(vma, false);
                return Step.Next;
            }

            if ((vma.Flags & VmaFlags.Locked) != 0)
            {
                Locked = true;
                return Step.Stop;
            }

            bool used = spaces.Layout.IsYoung(entry);
            if (used)
            {
                if (Around is not null)
                {
                    Around.LookAround(cpu, vma, address);
                    entry = vma.Mm.Tables.ReadSlot(slot);
                }

                // x86 leaves the TLB alone; arm64 flushes, or the entry would not become young again.
                while (!vma.Mm.Tables.TryChangeSlot(slot, ref entry, spaces.Layout.MakeOld(entry)))
                {
                }

                if (!spaces.Addresses.IsX86)
                {
                    spaces.Machine.Mmu.FlushPage(cpu, vma.Mm.Tables, new VirtualAddress(address));
                }

                used = (vma.Flags & VmaFlags.SequentialRead) == 0;
            }

            NoteUse(vma, used);
            return Step.Next;
        }

        /// <summary>Once per area, whether its entry tells of the use or idle page tracking does, which had cleared the entry: what it knows goes to the first area that is looked at.</summary>
        private void NoteUse(Vma vma, bool used)
        {
            if (Idle is not null)
            {
                if (used)
                {
                    Idle.Used(Pfn);
                }

                used |= Idle.TestClearYoung(Pfn);
            }

            if (used)
            {
                Count++;
                Executable |= (vma.Flags & VmaFlags.Exec) != 0;
            }
        }
    }

    private struct Removal : IVisitor
    {
        public int Pfn;

        public readonly Step Visit(AddressSpaces spaces, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (!Maps(spaces, entry, Pfn))
            {
                return Step.Next;
            }

            if ((vma.Flags & VmaFlags.Locked) != 0)
            {
                return Step.Stop;
            }

            MemoryDescriptor mm = vma.Mm;
            bool anon = spaces.Pages.IsAnon(Pfn);
            bool lazy = anon && !spaces.Pages.HasFlag(Pfn, PageFlags.SwapBacked);
            if (anon && !lazy && !spaces.Pages.IsSwapCache(Pfn))
            {
                return Step.Stop;
            }

            entry = Clear(spaces, cpu, vma, address, slot, entry, Pfn);
            mm.NotePeak();
            if (lazy && (spaces.Pages.HasFlag(Pfn, PageFlags.Dirty) || spaces.Pages.RefCount(Pfn) != 1 + spaces.Maps.MapCount(Pfn)))
            {
                // Written again after MADV_FREE: it is ordinary memory once more.
                mm.Tables.WriteSlot(slot, entry);
                spaces.Pages.SetFlag(Pfn, PageFlags.SwapBacked);
                return Step.Stop;
            }

            mm.CountResident(Pfn, -1);
            if (anon && !lazy)
            {
                SoftEntry soft = spaces.Swap!.EntryOf(Pfn);
                ulong made = spaces.Layout.MakeSwapEntry(soft.Type, soft.Offset);
                spaces.Swap.Duplicate(soft);
                mm.SwapEntries++;
                if (spaces.Pages.IsExclusive(Pfn))
                {
                    spaces.Pages.ClearFlag(Pfn, PageFrame.AnonExclusive);
                    made = spaces.Layout.MakeExclusive(made);
                }

                mm.Tables.WriteSlot(slot, spaces.Layout.IsProtected(entry) ? spaces.Layout.ProtectSoft(made) : made);
            }
            else if (!anon && spaces.Layout.IsProtected(entry))
            {
                mm.Tables.WriteSlot(slot, spaces.Layout.MakeMarker(PteMarkers.WriteProtected));
            }

            spaces.Maps.RemoveRmap(cpu, Pfn, vma);
            spaces.Pages.Put(cpu, Pfn);
            return spaces.Maps.MapCount(Pfn) == 0 ? Step.Stop : Step.Next;
        }
    }

    private struct ToMigration : IVisitor
    {
        public int Pfn;

        public readonly Step Visit(AddressSpaces spaces, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (!Maps(spaces, entry, Pfn))
            {
                return Step.Next;
            }

            if (spaces.Pages.IsAnon(Pfn) && spaces.Pages.IsExclusive(Pfn) && spaces.Frames[Pfn].MayBePinned)
            {
                // It could not be moved, and must stay exclusive (folio_try_share_anon_rmap_pte()).
                return Step.Stop;
            }

            entry = Clear(spaces, cpu, vma, address, slot, entry, Pfn);
            ulong made = spaces.Layout.MakeMigrationEntry(Pfn, spaces.Layout.IsWritable(entry));
            if (spaces.Pages.IsAnon(Pfn) && spaces.Pages.IsExclusive(Pfn))
            {
                spaces.Pages.ClearFlag(Pfn, PageFrame.AnonExclusive);
                made = spaces.Layout.MakeExclusive(made);
            }

            vma.Mm.Tables.WriteSlot(slot, spaces.Layout.IsProtected(entry) ? spaces.Layout.ProtectSoft(made) : made);
            spaces.Maps.RemoveRmap(cpu, Pfn, vma);
            spaces.Pages.Put(cpu, Pfn);
            return spaces.Maps.MapCount(Pfn) == 0 ? Step.Stop : Step.Next;
        }
    }

    private struct FromMigration : IVisitor
    {
        public int From;
        public int To;

        public readonly Step Visit(AddressSpaces spaces, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (!spaces.Layout.TryDecodeSwapEntry(entry, out SoftEntry soft) || soft.Kind is not (SoftEntryKind.MigrationRead or SoftEntryKind.MigrationWrite) || soft.Offset != From)
            {
                return Step.Next;
            }

            bool write = soft.Kind == SoftEntryKind.MigrationWrite;
            ulong made = spaces.Layout.Make(To, vma.PageBits);
            if (write && (vma.Flags & VmaFlags.Write) != 0)
            {
                made = spaces.Layout.MakeWritable(spaces.Layout.MakeDirty(made));
            }

            made = spaces.Layout.IsSoftProtected(entry) ? spaces.Layout.Protect(made) : made;
            spaces.Pages.Get(To);
            if (spaces.Pages.IsAnon(To))
            {
                // Entries lie in memory that anybody may overwrite: two that both say they are the only one are not.
                bool alone = (write || soft.Exclusive) && spaces.Maps.MapCount(To) == 0;
                spaces.Maps.AddAnonRmap(To, vma, address, exclusive: alone);
            }
            else
            {
                spaces.Maps.AddFileRmap(To);
            }

            vma.Mm.Tables.WriteSlot(slot, made);
            if ((vma.Flags & VmaFlags.Locked) != 0)
            {
                spaces.Machine.Lru.Mlock(cpu, To);
            }

            return Step.Next;
        }
    }
}
