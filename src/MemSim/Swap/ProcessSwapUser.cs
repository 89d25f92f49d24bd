using MemSim.Hardware;
using MemSim.VirtualMemory;

namespace MemSim.Swap;

/// <summary>The swap entries in the page tables of processes.</summary>
internal sealed class ProcessSwapUser(SwapSpace swap) : ISwapUser
{
    public void CountEntries(SwapCensus census)
    {
        foreach (MemoryDescriptor mm in swap.Machine.MmOrNull?.Spaces ?? [])
        {
            foreach (Vma vma in mm.Areas)
            {
                for (ulong at = vma.StartValue; at < vma.EndValue;)
                {
                    ulong slot = mm.Tables.FindSlot(at, out ulong next);
                    SwapEntry entry = slot == 0 ? default : ((ISwapNeighbours)vma).EntryAt(at);
                    if (!entry.IsNone)
                    {
                        census.Add(entry);
                    }

                    at = slot != 0 ? at + PageGeometry.PageSize : next == 0 ? vma.EndValue : next;
                }
            }
        }
    }

    public Errno Unuse(Cpu cpu, SwapArea area)
    {
        if (swap.Machine.MmOrNull is not { } core)
        {
            return Errno.None;
        }

        using MmCore.LockScope scope = core.Enter();

        // Bringing pages in may need memory, and the lack of it end processes: nothing is held across a page.
        for (int i = 0; i < core.Spaces.Count; i++)
        {
            MemoryDescriptor mm = core.Spaces[i];
            for (Vma? vma = mm.Tree.First; vma is not null && mm.SwapEntries != 0; vma = vma.Next)
            {
                Errno error = vma.AnonVma is null ? Errno.None : Unuse(cpu, area, core, vma);
                if (error != Errno.None)
                {
                    return error;
                }
            }
        }

        return Errno.None;
    }

    private Errno Unuse(Cpu cpu, SwapArea area, MmCore core, Vma vma)
    {
        PageTables tables = vma.Mm.Tables;
        for (ulong at = vma.StartValue; at < vma.EndValue;)
        {
            ulong slot = tables.FindSlot(at, out ulong next);
            if (slot == 0)
            {
                at = next == 0 ? vma.EndValue : next;
                continue;
            }

            if (core.Layout.TryDecodeSwapEntry(tables.ReadSlot(slot), out SoftEntry soft) && soft.Kind == SoftEntryKind.Swap && soft.Type == area.Type)
            {
                Errno error = Replace(cpu, core, vma, at, slot, soft);
                if (error != Errno.None)
                {
                    return error;
                }
            }

            at += PageGeometry.PageSize;
        }

        return Errno.None;
    }

    /// <summary>Maps the page in the place of its entry (<c>unuse_pte()</c>).</summary>
    private Errno Replace(Cpu cpu, MmCore core, Vma vma, ulong address, ulong slot, in SoftEntry soft)
    {
        PageTables tables = vma.Mm.Tables;
        ulong before = tables.ReadSlot(slot);
        SwapEntry entry = SwapSpace.ToEntry(soft);
        SwapInOutcome outcome = swap.SwapIn(cpu, entry, vma, address, out int pfn);
        if (pfn < 0)
        {
            return outcome switch { SwapInOutcome.NoMemory => Errno.ENOMEM, SwapInOutcome.Failed => Errno.EIO, _ => Errno.None };
        }

        if (tables.ReadSlot(slot) != before)
        {
            core.Put(cpu, pfn);
            return Errno.None;
        }

        vma.Mm.SwapEntries--;
        vma.Mm.AnonPages++;
        core.AddAnonRmap(pfn, vma, address, soft.Exclusive);
        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            core.Mlock(cpu, pfn);
        }

        tables.WriteSlot(slot, core.Layout.MakeOld(core.Layout.Make(pfn, vma.PageBits)));
        swap.Free(entry);
        swap.FreeSlotWhenWritten(cpu, pfn);
        return Errno.None;
    }
}
