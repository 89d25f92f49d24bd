using MemSim.Statistics;

namespace MemSim.Zones;

/// <summary>Figures of all zones together, and what may be promised of them.</summary>
internal static class MemoryTotals
{
    /// <summary>Pages that the page allocator was given (<c>totalram_pages()</c>).</summary>
    public static long ManagedPages(Machine machine)
    {
        long pages = 0;
        foreach (Zone zone in machine.Zones)
        {
            pages += zone.ManagedPages;
        }

        return pages;
    }

    /// <summary>Pages that user space cannot count on: what was computed with the watermarks, or their present value on a machine restored from a state.</summary>
    public static long ReservePages(Machine machine)
    {
        long computed = machine.Settings.Figures.TotalReservePages;
        return computed != 0
            ? computed
            : machine.Zones.Sum(z => Math.Min(z.ManagedPages, z.LowmemReserve.Skip(z.Index).DefaultIfEmpty(0).Max() + z.MarkHigh));
    }

    /// <summary>Pages that may be promised under strict accounting (<c>vm_commit_limit()</c>): a share of the memory that is not taken by huge pages of pools, and swap.</summary>
    public static long CommitLimit(Machine machine)
    {
        VmSysctls sysctls = machine.Settings.Sysctls;
        SystemFigures system = machine.SystemFigures;
        long kiB = sysctls.Number("overcommit_kbytes");
        long share = kiB != 0 ? kiB >> (PageGeometry.PageShift - 10) : (ManagedPages(machine) - system.HugetlbPages) * sysctls.Number("overcommit_ratio") / 100;
        return share + system.SwapTotalPages;
    }
}
