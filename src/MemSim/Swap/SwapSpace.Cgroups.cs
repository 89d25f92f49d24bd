using MemSim.Cgroups;
using MemSim.Hardware;
using MemSim.Swap;

namespace MemSim;

/// <content>Who pays for slots, and for the pages that come back from them.</content>
public sealed partial class SwapSpace
{
    /// <summary>Slots by the cgroup that they are charged to.</summary>
    internal long[] SlotsByCgroup(int cgroups)
    {
        long[] slots = new long[cgroups];
        foreach (SwapArea area in _byPriority)
        {
            area.CountOwners(slots);
        }

        return slots;
    }

    /// <summary>Takes a slot for a page, charged to who pays for the page.</summary>
    /// <returns>None when there is no slot, or the limit of that cgroup's swap does not allow it.</returns>
    private SwapEntry TakeSlotFor(Cpu cpu, int pfn)
    {
        SwapEntry entry = TakeSlot(cpu);
        if (Machine.Hooks.Charges is null)
        {
            return entry;
        }

        if (entry.IsNone)
        {
            Machine.Cgroups.NoteNoSlot(pfn);
            return entry;
        }

        using LockScope scope = Enter();
        SwapArea area = _areas[entry.Type]!;
        if (!Machine.Cgroups.TryChargeSlot(pfn, out int owner))
        {
            DropCache(area, entry.Offset);
            return default;
        }

        area.SetOwner(entry.Offset, owner);
        return entry;
    }

    /// <summary>Charges a page that is about to be read from a slot.</summary>
    /// <returns>False when it was freed, because nobody may pay for it.</returns>
    private bool ChargeForRead(Cpu cpu, SwapArea area, SwapEntry entry, ISwapNeighbours near, int pfn)
    {
        if (Machine.Hooks.Charges is null || Machine.Cgroups.TryChargeSwapIn(cpu, area.OwnerOf(entry.Offset), near.Owner, pfn, Gfp.Kernel))
        {
            return true;
        }

        Machine.Lru.Put(cpu, pfn);
        return false;
    }

    private void CountForCgroup(int pfn, CgroupStat stat)
    {
        if (Machine.Hooks.Charges is not null)
        {
            Machine.Cgroups.PayerOf(pfn)?.Count(stat, 1);
        }
    }
}
