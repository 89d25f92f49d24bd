using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim.ReverseMapping;

/// <content>Idle page tracking.</content>
internal sealed partial class Rmap
{
    /// <summary>Finds out whether a page was used since its entries were looked at last, and makes them old (<c>page_idle_clear_pte_refs()</c>).</summary>
    /// <remarks>TLBs are not flushed: while a CPU has the translation, using the page leaves no trace.</remarks>
    public void ClearIdleReferences(Cpu cpu, int pfn)
    {
        IdlePages idle = spaces.Machine.Lru.Idle!;
        if (spaces.Pages.IsPartOfHuge(pfn))
        {
            if (spaces.Huge.WasUsed(cpu, pfn))
            {
                idle.FoundUsed(pfn);
            }

            return;
        }

        if (spaces.Maps.MapCount(pfn) == 0)
        {
            return;
        }

        bool locks = !spaces.Frames[pfn].IsAnonymous || spaces.Frames[pfn].IsMerged;
        if (locks && !spaces.Frames[pfn].TryLock(spaces.Machine.IsParallel))
        {
            return;
        }

        Use visitor = new() { Pfn = pfn };
        Walk(cpu, pfn, ref visitor);
        if (locks)
        {
            spaces.Frames[pfn].Unlock(spaces.Machine.IsParallel);
        }

        if (visitor.WasUsed)
        {
            idle.FoundUsed(pfn);
        }
    }

    private struct Use : IVisitor
    {
        public int Pfn;
        public bool WasUsed;

        public Step Visit(AddressSpaces spaces, Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
        {
            if (Maps(spaces, entry, Pfn) && spaces.Layout.IsYoung(entry))
            {
                while (!vma.Mm.Tables.TryChangeSlot(slot, ref entry, spaces.Layout.MakeOld(entry)))
                {
                }

                WasUsed = true;
            }

            return Step.Next;
        }
    }
}
