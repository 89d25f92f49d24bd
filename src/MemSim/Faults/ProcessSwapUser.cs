using MemSim.Hardware;
using MemSim.Lru;
using MemSim.Swap;
using MemSim.VirtualMemory;

namespace MemSim.Faults;

/// <summary>The swap entries in the page tables of processes.</summary>
internal sealed class ProcessSwapUser(SwapSpace swap) : ISwapUser
{
    public void CountEntries(SwapCensus census)
    {
        if (swap.Machine.Mm is not { } spaces)
        {
            return;
        }

        foreach (MemoryDescriptor mm in spaces.All)
        {
            foreach (Vma vma in mm.Areas)
            {
                PageTableCursor cursor = new(spaces, vma, vma.StartValue, vma.EndValue, BadEntries.Skip);
                while (cursor.Next())
                {
                    TableEntries table = cursor.IsHuge ? default : cursor.Entries;
                    while (table.Next(out ulong found))
                    {
                        if (spaces.Entries.Decode(found) is { Kind: SoftEntryKind.Swap } soft)
                        {
                            census.Add(SwapSpace.ToEntry(soft));
                        }
                    }
                }
            }
        }
    }

    public Errno Unuse(Cpu cpu, SwapArea area)
    {
        if (swap.Machine.Mm is not { } spaces)
        {
            return Errno.None;
        }

        using OwnersLock.Scope scope = spaces.Enter();

        // Bringing pages in may need memory, and the lack of it end processes: nothing is held across a page.
        for (int i = 0; i < spaces.All.Places; i++)
        {
            MemoryDescriptor? mm = spaces.All.At(i);
            for (Vma? vma = mm?.Tree.First; vma is not null && mm!.SwapEntries != 0; vma = vma.Next)
            {
                Errno error = vma.AnonVma is null ? Errno.None : Unuse(cpu, area, spaces, vma);
                if (error != Errno.None)
                {
                    return error;
                }
            }
        }

        return Errno.None;
    }

    private Errno Unuse(Cpu cpu, SwapArea area, AddressSpaces spaces, Vma vma)
    {
        PageTableCursor cursor = new(spaces, vma, vma.StartValue, vma.EndValue);
        while (cursor.Next())
        {
            TableEntries table = cursor.IsHuge ? default : cursor.Entries;
            while (table.Next(out ulong entry))
            {
                if (spaces.Entries.Decode(entry) is not { Kind: SoftEntryKind.Swap } soft || soft.Type != area.Type)
                {
                    continue;
                }

                Errno error = Replace(cpu, spaces, vma, table.Address, table.Slot, soft);
                if (error != Errno.None)
                {
                    return error;
                }

                // It may have slept.
                cursor.ContinueFrom(table.NextAddress);
                break;
            }
        }

        return Errno.None;
    }

    /// <summary>The page in the swap cache is broken: who uses it is told, now by the entry.</summary>
    private Errno GiveUp(Cpu cpu, AddressSpaces spaces, Vma vma, ulong slot, SwapEntry entry)
    {
        int pfn = swap.Peek(entry);
        vma.Mm.SwapEntries--;
        vma.Mm.Tables.WriteSlot(slot, spaces.Layout.MakeHwPoisonEntry(pfn));
        swap.Free(cpu, entry);
        swap.FreeSlotWhenWritten(cpu, pfn);
        return Errno.None;
    }

    /// <summary>Maps the page in the place of its entry (<c>unuse_pte()</c>).</summary>
    private Errno Replace(Cpu cpu, AddressSpaces spaces, Vma vma, ulong address, ulong slot, in SoftEntry soft)
    {
        PageTables tables = vma.Mm.Tables;
        ulong before = tables.ReadSlot(slot);
        SwapEntry entry = SwapSpace.ToEntry(soft);
        SwapInOutcome outcome = swap.SwapIn(cpu, entry, vma, address, out int pfn);
        if (outcome == SwapInOutcome.Poisoned)
        {
            return GiveUp(cpu, spaces, vma, slot, entry);
        }

        if (pfn < 0)
        {
            return outcome switch { SwapInOutcome.NoMemory => Errno.ENOMEM, SwapInOutcome.Failed => Errno.EIO, _ => Errno.None };
        }

        if (tables.ReadSlot(slot) != before)
        {
            spaces.Pages.Put(cpu, pfn);
            return Errno.None;
        }

        if (vma.AnonVma is not null && spaces.Machine.Ksm.Merger.MustCopy(pfn, vma, address))
        {
            spaces.Pages.Put(cpu, pfn);
            return (spaces.Faults.HandleFault(cpu, vma, address, FaultFlags.Remote) & PageCache.FaultResult.Oom) == PageCache.FaultResult.Oom ? Errno.ENOMEM : Errno.None;
        }

        vma.Mm.SwapEntries--;
        vma.Mm.AnonPages++;
        spaces.Maps.AddAnonRmap(pfn, vma, address, soft.Exclusive);
        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            spaces.Machine.Lru.Mlock(cpu, pfn);
        }

        tables.WriteSlot(slot, spaces.Layout.MakeOld(spaces.Layout.Make(pfn, vma.PageBits)));
        swap.Free(cpu, entry);
        swap.FreeSlotWhenWritten(cpu, pfn);
        return Errno.None;
    }
}
