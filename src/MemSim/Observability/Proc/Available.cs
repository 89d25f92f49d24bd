using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Estimates that the kernel derives from several counters at once.</summary>
internal static class Available
{
    /// <summary>Free pages of the whole machine.</summary>
    public static long FreePages(Machine machine) => machine.Zones.Sum(z => z.FreePagesForChecks);

    /// <summary>What a new program could get without swapping: free memory and the larger part of what can be reclaimed (<c>MemAvailable</c>).</summary>
    public static long Pages(Machine machine)
    {
        long low = machine.Zones.Sum(z => z.GetWatermarkPages(Watermark.Low));
        long pageCache = Sum(machine, static n => n.ActiveFile + n.InactiveFile);
        long reclaimable = Sum(machine, static n => n.SlabReclaimable + n.KernelMiscReclaimable);
        long available = FreePages(machine) - MemoryTotals.ReservePages(machine);
        available += pageCache - Math.Min(pageCache / 2, low);
        available += reclaimable - Math.Min(reclaimable / 2, low);
        return Math.Max(0, available);
    }

    /// <summary>The numbers of dirty pages at which writers are throttled and at which background writing starts.</summary>
    public static (long Threshold, long Background) DirtyLimits(Machine machine)
    {
        VmSysctls sysctls = machine.Settings.Sysctls;
        long dirtyable = DirtyablePages(machine);
        long threshold = Limit(sysctls, "dirty_bytes", "dirty_ratio", dirtyable);
        long background = Limit(sysctls, "dirty_background_bytes", "dirty_background_ratio", dirtyable);
        return (threshold, background >= threshold ? threshold / 2 : background);
    }

    public static long Sum(Machine machine, Func<NodeCounters, long> counter)
    {
        long sum = 0;
        foreach (Node node in machine.Nodes)
        {
            sum += counter(node.Counters);
        }

        return Math.Max(0, sum);
    }

    private static long DirtyablePages(Machine machine)
    {
        long free = FreePages(machine);
        long pages = free - Math.Min(free, MemoryTotals.ReservePages(machine)) + Sum(machine, static n => n.InactiveFile + n.ActiveFile);
        if (machine.Settings.Sysctls.Get("highmem_is_dirtyable") == "0")
        {
            long high = 0;
            foreach (Zone zone in machine.Zones)
            {
                if (machine.ZoneTable.IsHighMemory(zone))
                {
                    long own = zone.FreePagesForChecks;
                    own -= Math.Min(own, zone.MarkHigh + zone.Boost);
                    high += own + zone.Counters.InactiveFile + zone.Counters.ActiveFile;
                }
            }

            pages -= Math.Min(high, pages);
        }

        return pages + 1;
    }

    /// <summary>A limit given in bytes, or as hundredths of what can be dirty.</summary>
    private static long Limit(VmSysctls sysctls, string bytesName, string ratioName, long dirtyable)
    {
        long bytes = Number(sysctls.Get(bytesName));
        if (bytes != 0)
        {
            return (bytes + PageGeometry.PageSize - 1) / PageGeometry.PageSize;
        }

        // The kernel computes in 1/4096, so that 20 % are 819/4096.
        return Number(sysctls.Get(ratioName)) * PageGeometry.PageSize / 100 * dirtyable / PageGeometry.PageSize;
    }

    private static long Number(string text) => long.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, out long value) ? value : 0;
}
