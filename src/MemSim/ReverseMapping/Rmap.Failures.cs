using MemSim.Hardware;
using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim.ReverseMapping;

/// <content>Pages with hardware errors.</content>
internal sealed partial class Rmap
{
    /// <summary>Where a page is mapped.</summary>
    public List<(Vma Vma, ulong Address)> Places(Cpu cpu, int pfn)
    {
        Finding visitor = new() { Pfn = pfn, Found = [] };
        Walk(cpu, pfn, ref visitor);
        return visitor.Found;
    }

    /// <summary>Whether an entry says that somebody wrote to the page.</summary>
    public bool IsDirtyAnywhere(Cpu cpu, int pfn)
    {
        Finding visitor = new() { Pfn = pfn, Found = [] };
        Walk(cpu, pfn, ref visitor);
        return visitor.Dirty;
    }

    /// <summary>Takes a broken page out of all page tables, locked areas too.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="pfn">The page.</param>
    /// <param name="marks">Whether who uses an address shall be told (<c>make_hwpoison_entry()</c>); else the next access looks for the contents elsewhere (<c>TTU_IGNORE_HWPOISON</c>).</param>
    /// <returns>Whether nothing maps it any more.</returns>
    public bool UnmapPoisoned(Cpu cpu, int pfn, bool marks)
    {
        Poisoning visitor = new() { Pfn = pfn, Marks = marks };
        Walk(cpu, pfn, ref visitor);
        return spaces.Maps.MapCount(pfn) == 0;
    }

    private struct Finding : IVisitor
    {
        public int Pfn;
        public List<(Vma Vma, ulong Address)> Found;
        public bool Dirty;

        public Step Visit(AddressSpaces spaces, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (Maps(spaces, entry, Pfn))
            {
                Found.Add((vma, address));
                Dirty |= spaces.Layout.IsDirty(entry);
            }

            return Step.Next;
        }
    }

    private struct Poisoning : IVisitor
    {
        public int Pfn;
        public bool Marks;

        public readonly Step Visit(AddressSpaces spaces, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (!Maps(spaces, entry, Pfn))
            {
                return Step.Next;
            }

            MemoryDescriptor mm = vma.Mm;
            _ = Clear(spaces, cpu, vma, address, slot, entry, Pfn);
            mm.NotePeak();
            mm.CountResident(Pfn, -1);
            bool anon = spaces.Pages.IsAnon(Pfn);
            if (Marks || (anon && !spaces.Pages.IsSwapCache(Pfn)))
            {
                mm.Tables.WriteSlot(slot, spaces.Layout.MakeHwPoisonEntry(Pfn));
            }
            else if (anon)
            {
                SoftEntry soft = spaces.Swap!.EntryOf(Pfn);
                spaces.Swap.Duplicate(soft);
                mm.SwapEntries++;
                mm.Tables.WriteSlot(slot, spaces.Layout.MakeSwapEntry(soft.Type, soft.Offset));
            }

            spaces.Pages.ClearFlag(Pfn, anon ? PageFrame.AnonExclusive : PageFlags.None);
            spaces.Maps.RemoveRmap(cpu, Pfn, vma);
            spaces.Pages.Put(cpu, Pfn);
            return spaces.Maps.MapCount(Pfn) == 0 ? Step.Stop : Step.Next;
        }
    }
}
