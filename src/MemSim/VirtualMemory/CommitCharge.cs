using System.Globalization;
using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim.VirtualMemory;

/// <summary>What address spaces were promised, and the limits of <c>vm.overcommit_memory</c> and <c>vm.max_map_count</c>. Guarded by the lock of address spaces.</summary>
internal sealed class CommitCharge(Machine machine)
{
    /// <summary>Areas that an address space may have.</summary>
    public int MaxAreas => machine.Settings.Sysctls.MaxMapCount;

    /// <summary>Promises pages (<c>__vm_enough_memory()</c>): whether memory and swap suffice by the rule of <c>vm.overcommit_memory</c>.</summary>
    public bool Charge(MemoryDescriptor? mm, long pages, bool isAdmin)
    {
        SystemFigures figures = machine.SystemFigures;
        figures.CommittedPages += pages;
        VmSysctls sysctls = machine.Settings.Sysctls;
        switch (sysctls.OvercommitMemory)
        {
            case 1:
                return true;
            case 0:
                if (pages <= MemoryTotals.ManagedPages(machine) + figures.SwapTotalPages)
                {
                    return true;
                }

                break;
            default:
                long allowed = MemoryTotals.CommitLimit(machine);
                if (!isAdmin)
                {
                    allowed -= Number(sysctls, "admin_reserve_kbytes") >> (PageGeometry.PageShift - 10);
                }

                if (mm is not null)
                {
                    allowed -= Math.Min(mm.TotalPages / 32, Number(sysctls, "user_reserve_kbytes") >> (PageGeometry.PageShift - 10));
                }

                if (figures.CommittedPages < allowed)
                {
                    return true;
                }

                break;
        }

        figures.CommittedPages -= pages;
        return false;
    }

    /// <summary>Takes a promise back.</summary>
    public void Uncharge(long pages) => machine.SystemFigures.CommittedPages -= pages;

    private static long Number(VmSysctls sysctls, string name) => long.Parse(sysctls.Get(name), CultureInfo.InvariantCulture);
}
