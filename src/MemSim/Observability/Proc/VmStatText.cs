using System.Globalization;
using System.Text;
using MemSim.Statistics;

namespace MemSim.Observability;

/// <summary>Writes <c>/proc/vmstat</c>: the zones' and nodes' counters summed up, then the events.</summary>
internal static class VmStatText
{
    public static string Of(Machine machine)
    {
        StringBuilder text = new();
        Append(text, "nr_free_pages", Available.FreePages(machine));
        foreach (CounterTable.ZoneRow row in CounterTable.Zone)
        {
            if (KernelBuild.Prints(machine, row.Name, row.Only))
            {
                Append(text, row.Name, machine.Zones.Sum(row.Read));
            }
        }

        foreach (CounterTable.NodeRow row in CounterTable.Node)
        {
            if (KernelBuild.Prints(machine, row.Name, row.Only))
            {
                long sum = machine.Nodes.Sum(n => row.Read(n.Counters));
                Append(text, row.Name, Math.Max(0, sum) / (row.InHugePages ? KernelBuild.HugePagePages(machine) : 1));
            }
        }

        (long threshold, long background) = Available.DirtyLimits(machine);
        Append(text, "nr_dirty_threshold", threshold);
        Append(text, "nr_dirty_background_threshold", background);
        if (KernelBuild.IsNewer(machine))
        {
            Append(text, "nr_memmap_pages", MemoryMapPages(machine, late: true));
            Append(text, "nr_memmap_boot_pages", MemoryMapPages(machine, late: false));
        }

        AppendEvents(text, machine);
        Append(text, "nr_unstable", 0);
        return text.ToString();
    }

    /// <summary>Pages of frame descriptors: those of memory present at boot come from memblock, those of memory plugged in later from the page allocator.</summary>
    private static long MemoryMapPages(Machine machine, bool late)
    {
        bool IsLate(long start, Zone? zone) => zone?.Type == ZoneType.Device || start >= machine.Hotplug.Memory.RoomStart;
        IEnumerable<(long Start, long End, int Node)> ranges = machine.ZoneTable.PresentRanges.Where(r => IsLate(r.Start, r.Zone) == late).Select(r => (r.Start, r.End, r.Zone.Node.Id))
            .Concat(machine.ZoneTable.OfflineRanges.Where(r => IsLate(r.Start, null) == late).Select(r => (r.Start, r.End, r.Node)));
        return MemoryMapCost.Of(machine.Frames.Model, machine.Architecture, [.. ranges], 0).KernelBytes / PageGeometry.PageSize;
    }

    private static void AppendEvents(StringBuilder text, Machine machine)
    {
        for (VmEvent e = 0; (int)e < VmEvents.Table.Length; e++)
        {
            (string name, Presence only) = VmEvents.Table[(int)e];
            if (e == VmEvent.PagesFreed)
            {
                AppendByZone(text, machine, "pgalloc", type => PagesAllocated(machine, type));
                AppendByZone(text, machine, "allocstall", machine.Events.AllocStalls);
                AppendByZone(text, machine, "pgskip", machine.Events.Skips);
                Append(text, name, machine.Events[e] + PagesFreed(machine));
            }
            else if (KernelBuild.Prints(machine, name, only))
            {
                Append(text, name, machine.Events[e]);
            }
        }
    }

    private static void AppendByZone(StringBuilder text, Machine machine, string name, Func<ZoneType, long> value)
    {
        foreach (ZoneType type in machine.Architecture.ZoneTypes)
        {
            Append(text, $"{name}_{(type == ZoneType.HighMem ? "high" : type.KernelName().ToLowerInvariant())}", value(type));
        }
    }

    private static long PagesAllocated(Machine machine, ZoneType type) => machine.Zones.Where(z => z.Type == type).Sum(z => z.Pcp.Sum(p => p.PagesAllocated));

    /// <summary>Pages freed: those allocated and not in use any more, and on a booted machine what the boot gave to the allocator. Frees need no counter of their own.</summary>
    private static long PagesFreed(Machine machine)
    {
        long freed = 0;
        foreach (Zone zone in machine.Zones)
        {
            long inUse = zone.PagesOnNoList - zone.UntrackedPages;
            freed += zone.Pcp.Sum(p => p.PagesAllocated) - inUse + (machine.BootPlan is not null ? zone.ManagedPages : 0);
        }

        return freed;
    }

    private static void Append(StringBuilder text, string name, long value) => text.Append(CultureInfo.InvariantCulture, $"{name} {value}\n");
}
