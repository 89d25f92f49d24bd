using MemSim.Zones;

namespace MemSim.PageCache;

/// <summary>How many pages may be dirty (<c>global_dirty_limits()</c>): as <c>vmstat</c> shows it, without garbage.</summary>
internal sealed class DirtyLimits
{
    private readonly Machine _machine;
    private readonly Zone[] _zones;
    private readonly Zone[] _high;

    public DirtyLimits(Machine machine)
    {
        _machine = machine;
        _zones = [.. machine.Zones];
        _high = [.. machine.Zones.Where(z => machine.ZoneTable.IsHighMemory(z))];
    }

    /// <summary>Where writers are held up, and where background writing starts; both in pages.</summary>
    public (long Threshold, long Background) Now()
    {
        VmSysctls sysctls = _machine.Settings.Sysctls;
        long dirtyable = Dirtyable(sysctls);
        long threshold = Limit(sysctls, "dirty_bytes", "dirty_ratio", dirtyable);
        long background = Limit(sysctls, "dirty_background_bytes", "dirty_background_ratio", dirtyable);
        return (threshold, background >= threshold ? threshold / 2 : background);
    }

    private static long Limit(VmSysctls sysctls, string bytesName, string ratioName, long dirtyable)
    {
        long bytes = sysctls.Number(bytesName);
        return bytes != 0
            ? (bytes + PageGeometry.PageSize - 1) / PageGeometry.PageSize
            : sysctls.Number(ratioName) * PageGeometry.PageSize / 100 * dirtyable / PageGeometry.PageSize;
    }

    private long Dirtyable(VmSysctls sysctls)
    {
        long free = 0;
        foreach (Zone zone in _zones)
        {
            free += zone.FreePagesForChecks;
        }

        long reserve = MemoryTotals.ReservePages(_machine);
        long pages = free - Math.Min(free, reserve) + _machine.Files.PageCache.Sum(NodeFigure.FileLists);
        if (_high.Length != 0 && sysctls.Number("highmem_is_dirtyable") == 0)
        {
            long high = 0;
            foreach (Zone zone in _high)
            {
                long own = zone.FreePagesForChecks;
                own -= Math.Min(own, zone.MarkHigh + zone.Boost);
                high += own + zone.Counters.InactiveFile + zone.Counters.ActiveFile;
            }

            pages -= Math.Min(high, pages);
        }

        return pages + 1;
    }
}
