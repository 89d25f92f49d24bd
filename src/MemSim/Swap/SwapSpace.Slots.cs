using System.Diagnostics;
using System.Globalization;
using MemSim.Hardware;

namespace MemSim;

/// <content>Slots: taking one, counting the entries that name it, freeing it.</content>
public sealed partial class SwapSpace
{
    /// <summary>Takes a slot of the area whose turn it is, for the swap cache (<c>folio_alloc_swap()</c>).</summary>
    /// <returns>The entry; none when there is no swap or no slot left.</returns>
    internal SwapEntry TakeSlot(Cpu cpu)
    {
        if (FreePages <= 0)
        {
            return default;
        }

        using LockScope scope = Enter();
        ref SwapArea? turn = ref _turn[cpu.Id];
        ref int left = ref _turnLeft[cpu.Id];
        if (left <= 0 || turn is null || !turn.IsWritable)
        {
            turn = null;
            left = 0;
        }

        for (int i = -1; i < _byPriority.Count; i++)
        {
            // Should the area whose turn it is refuse, all are asked in order.
            turn = turn is not null ? turn : i < 0 ? NextArea() : _byPriority[i];
            if (turn is null)
            {
                return default;
            }

            long slot = turn.TakeSlot(cpu, SwapArea.HasCache);
            if (slot != 0)
            {
                left = left <= 0 ? TurnSlots - 1 : left - 1;
                Machine.SystemFigures.SwapFreePages--;
                return new SwapEntry(turn.Type, slot);
            }

            turn = null;
            left = 0;
        }

        return default;
    }

    /// <summary>One more entry names a slot (<c>swap_duplicate()</c>).</summary>
    internal void Duplicate(SwapEntry entry)
    {
        using LockScope scope = Enter();
        if (TryFind(entry, "swap_duplicate", out SwapArea? area))
        {
            int use = area.UseOf(entry.Offset);
            Debug.Assert((use & SwapArea.CountMask) != SwapArea.CountMask, "the count of a slot fits");
            area.SetUse(entry.Offset, use + 1);
        }
    }

    /// <summary>One entry less names a slot (<c>swap_free()</c>).</summary>
    internal void Free(Cpu cpu, SwapEntry entry)
    {
        using (Enter())
        {
            if (TryFind(entry, "swap_free", out SwapArea? area))
            {
                DropUse(area, entry);
            }
        }

        DropReleased(cpu);
    }

    /// <summary>One entry less names a slot; a page of the swap cache that is not needed there any more leaves it (<c>free_swap_and_cache()</c>).</summary>
    internal void FreeWithCache(Cpu cpu, SwapEntry entry)
    {
        int pfn;
        using (Enter())
        {
            if (!TryFind(entry, "free_swap_and_cache", out SwapArea? area))
            {
                return;
            }

            DropUse(area, entry);
            pfn = area.UseOf(entry.Offset) == SwapArea.HasCache ? area.CachedPage(entry.Offset) : -1;
            if (pfn >= 0)
            {
                Machine.Frames.AddReferences(pfn, 1);
            }
        }

        DropReleased(cpu);
        if (pfn < 0)
        {
            return;
        }

        if ((_frames[pfn].MapCount == 0 || IsHalfFull) && TryLock(pfn))
        {
            _ = TryFreeSlot(cpu, pfn);
            Unlock(pfn);
        }

        Machine.Lru.Put(cpu, pfn);
    }

    /// <summary>How many entries name a slot (<c>swp_swapcount()</c>).</summary>
    internal int CountOf(SwapEntry entry) => AreaOrNull(entry.Type) is { } area && entry.Offset < area.Slots ? area.CountOf(entry.Offset) : 0;

    /// <summary>A CPU looks for a slot and finds one that only the swap cache holds: its page gives it up (<c>__try_to_reclaim_swap()</c>).</summary>
    internal bool TryReclaimSlot(Cpu cpu, SwapArea area, long slot)
    {
        int pfn = area.CachedPage(slot);
        if (pfn < 0 || !TryLock(pfn))
        {
            return false;
        }

        Machine.Frames.AddReferences(pfn, 1);
        bool freed = TryFreeSlotHere(pfn);
        Unlock(pfn);
        Machine.Lru.Put(cpu, pfn);
        return freed;
    }

    private void DropUse(SwapArea area, SwapEntry entry)
    {
        int use = area.UseOf(entry.Offset);
        if ((use & SwapArea.CountMask) == 0)
        {
            Complain(KernelBugKind.DoubleFree, "swap_free: Unused swap offset entry", entry);
            return;
        }

        if (use == 1)
        {
            ReleaseSlot(area, entry.Offset);
        }
        else
        {
            area.SetUse(entry.Offset, use - 1);
        }

        Debug.Assert(area.UseOf(entry.Offset) == use - 1, "one entry less names the slot, and the swap cache has it as before");
    }

    /// <summary>The swap cache lets go of a slot (<c>put_swap_page()</c>).</summary>
    private void DropCache(SwapArea area, long slot)
    {
        Debug.Assert((area.UseOf(slot) & SwapArea.HasCache) != 0 && area.CachedPage(slot) < 0, "the slot was marked for the swap cache, and its page has left");
        int use = area.UseOf(slot) & ~SwapArea.HasCache;
        if (use == 0)
        {
            ReleaseSlot(area, slot);
        }
        else
        {
            area.SetUse(slot, use);
        }
    }

    private void ReleaseSlot(SwapArea area, long slot)
    {
        area.Release(slot);
        if (Front is not null || area.Backing.KeepsSlotsInMemory)
        {
            _released.Add(new SwapEntry(area.Type, slot));
        }

        if (area.IsWritable)
        {
            Machine.SystemFigures.SwapFreePages++;
        }
    }

    /// <summary>The area of an entry whose slot is in use; false after a complaint (<c>_swap_info_get()</c>).</summary>
    private bool TryFind(SwapEntry entry, string what, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out SwapArea? area)
    {
        area = AreaOrNull(entry.Type);
        if (area is null)
        {
            Complain(KernelBugKind.InvalidObject, what + (entry.Type < _areas.Length ? ": Unused swap file entry" : ": Bad swap file entry"), entry);
            return false;
        }

        if (entry.Offset < SwapArea.HeaderSlots || entry.Offset >= area.Slots)
        {
            Complain(KernelBugKind.InvalidObject, what + ": Bad swap offset entry", entry);
            area = null;
            return false;
        }

        if (area.UseOf(entry.Offset) == 0)
        {
            Complain(KernelBugKind.DoubleFree, what + ": Unused swap offset entry", entry);
            area = null;
            return false;
        }

        return true;
    }

    private void Complain(KernelBugKind kind, string what, SwapEntry entry)
    {
        int typeShift = Machine.Architecture.Bits == 64 ? 58 : 26;
        ulong value = ((ulong)(uint)entry.Type << typeShift) | (ulong)entry.Offset;
        SwapArea? area = AreaOrNull(entry.Type);
        string state = area is null
            ? string.Create(CultureInfo.InvariantCulture, $"There is no swap area {entry.Type}.")
            : entry.Offset < area.Slots
                ? string.Create(CultureInfo.InvariantCulture, $"{area}; slot {entry.Offset}: {area.CountOf(entry.Offset)} entries, page of the swap cache: {area.CachedPage(entry.Offset)}")
                : string.Create(CultureInfo.InvariantCulture, $"{area}; it has slots 1 to {area.Slots - 1}, not {entry.Offset}");
        Machine.Bugs.Raise(kind, string.Create(CultureInfo.InvariantCulture, $"{what} {value:x8}"), state + "\nA page-table entry was freed twice, or its bytes were overwritten.\n");
    }

    /// <summary>The area whose turn it is: the first of the highest priority that has room, which then goes behind its equals.</summary>
    private SwapArea? NextArea()
    {
        for (int i = 0; i < _byPriority.Count; i++)
        {
            SwapArea area = _byPriority[i];
            if (area.UsedPages == area.Pages)
            {
                continue;
            }

            int last = i;
            while (last + 1 < _byPriority.Count && _byPriority[last + 1].Priority == area.Priority)
            {
                last++;
            }

            if (last != i)
            {
                _byPriority.RemoveAt(i);
                _byPriority.Insert(last, area);
            }

            return area;
        }

        return null;
    }
}
