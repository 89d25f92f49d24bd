namespace MemSim.Hardware;

/// <content>Short ways where one lowest-level table, the one found last, covers a whole range: nothing is made, split or freed.</content>
internal sealed partial class PageTables<TFormat>
{
    /// <summary>Maps pages where the table found last has room for all of them: nothing is made, and nothing is in the way.</summary>
    private bool TryMapInLastTable(ulong address, ReadOnlySpan<Page> pages, PageProtection protection)
    {
        ulong slot = LastSlots(address, pages.Length);
        if (slot == 0)
        {
            return false;
        }

        for (int i = 0; i < pages.Length; i++)
        {
            if (TFormat.IsPresent(ReadEntry(_memory, slot, i)))
            {
                return false;
            }
        }

        for (int i = 0; i < pages.Length; i++)
        {
            WriteEntry(_memory, slot, i, TFormat.MakeLeaf(pages[i].PhysicalAddress.Value, 1, protection));
        }

        return true;
    }

    /// <summary>Unmaps pages that the table found last maps, all of them, where empty tables are kept.</summary>
    private bool TryUnmapInLastTable(ulong address, long pages)
    {
        ulong slot = KeepsEmptyTables ? LastSlots(address, pages) : 0;
        if (slot == 0)
        {
            return false;
        }

        for (int i = 0; i < pages; i++)
        {
            if (!TFormat.IsPresent(ReadEntry(_memory, slot, i)))
            {
                return false;
            }
        }

        for (int i = 0; i < pages; i++)
        {
            WriteEntry(_memory, slot, i, 0);
        }

        return true;
    }
}
