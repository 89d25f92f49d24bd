using MemSim.Cgroups;

namespace MemSim;

/// <content>Swap is charged by slots, to who paid for the page that went there.</content>
public sealed partial class CgroupTree
{
    /// <summary>Charges the slot of a page that is about to be swapped out (<c>mem_cgroup_try_charge_swap()</c>).</summary>
    /// <param name="pfn">The page.</param>
    /// <param name="owner">Who pays, by number; 0 for nobody.</param>
    /// <returns>False when a limit of swap does not allow it.</returns>
    internal bool TryChargeSlot(int pfn, out int owner)
    {
        owner = _charges![pfn];
        if (owner == 0)
        {
            return true;
        }

        Cgroup cgroup = _byId[owner]!;
        if (cgroup.Swap.TryCharge(1) is { } full)
        {
            while (!ReferenceEquals(cgroup.Swap, full))
            {
                cgroup = cgroup.Parent!;
            }

            cgroup.Raise(CgroupEvent.SwapMax);
            cgroup.Raise(CgroupEvent.SwapFail);
            owner = 0;
            return false;
        }

        cgroup.ChargedSlots++;
        return true;
    }

    /// <summary>There was no slot for a page.</summary>
    internal void NoteNoSlot(int pfn) => PayerOf(pfn)?.Raise(CgroupEvent.SwapFail);

    /// <summary>A slot is free again (<c>mem_cgroup_uncharge_swap()</c>).</summary>
    internal void UnchargeSlot(int owner)
    {
        Cgroup cgroup = _byId[owner]!;
        cgroup.Swap.Uncharge(1);
        cgroup.ChargedSlots--;
        if (cgroup.IsRemoved)
        {
            TryRelease(cgroup);
        }
    }

    /// <summary>Free swap that a cgroup may use (<c>mem_cgroup_get_nr_swap_pages()</c>).</summary>
    internal long SwapFreePages(int id) => Math.Min(Machine.SystemFigures.SwapFreePages, id == 0 ? long.MaxValue : _byId[id]!.SwapMargin);
}
