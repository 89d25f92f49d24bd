using System.Globalization;
using System.Text;
using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Writes <c>/proc/pagetypeinfo</c>: free blocks by migrate type and order, and how many page blocks are of each type.</summary>
internal static class PageTypeInfoText
{
    /// <summary>The kernel stops counting a list here and prints a <c>&gt;</c> before the number.</summary>
    private const int LargestCount = 100_000;

    private static readonly MigrateType[] WithCma = [MigrateType.Unmovable, MigrateType.Movable, MigrateType.Reclaimable, MigrateType.HighAtomic, MigrateType.Cma, MigrateType.Isolate];
    private static readonly MigrateType[] WithoutCma = [MigrateType.Unmovable, MigrateType.Movable, MigrateType.Reclaimable, MigrateType.HighAtomic, MigrateType.Isolate];

    public static string Of(Machine machine)
    {
        MigrateType[] types = machine.Cma.IsConfigured ? WithCma : WithoutCma;
        StringBuilder text = new();
        foreach (Node node in machine.Nodes)
        {
            if (node.PresentPages != 0)
            {
                text.Append(CultureInfo.InvariantCulture, $"Page block order: {machine.ZoneTable.PageblockOrder}\nPages per block:  {1 << machine.ZoneTable.PageblockOrder}\n\n");
                AppendFree(text, machine, node, types);
                AppendBlocks(text, machine, node, types);
            }
        }

        return text.ToString();
    }

    private static void AppendFree(StringBuilder text, Machine machine, Node node, MigrateType[] types)
    {
        text.Append(CultureInfo.InvariantCulture, $"{"Free pages count per migrate type at order",-43} ");
        for (int order = 0; order <= PageGeometry.MaxOrder; order++)
        {
            text.Append(CultureInfo.InvariantCulture, $"{order,6} ");
        }

        text.Append('\n');
        foreach (Zone zone in node.Zones)
        {
            if (!zone.IsPopulated)
            {
                continue;
            }

            zone.EnterLock();
            foreach (MigrateType type in types)
            {
                text.Append(CultureInfo.InvariantCulture, $"Node {zone.Node.Id,4}, zone {zone.Name,8}, type {KernelName(type),12} ");
                for (int order = 0; order <= PageGeometry.MaxOrder; order++)
                {
                    int count = Count(zone, order, type);
                    text.Append(CultureInfo.InvariantCulture, $"{(count == LargestCount ? ">" : "")}{count,6} ");
                }

                text.Append('\n');
            }

            zone.ExitLock();
        }
    }

    private static void AppendBlocks(StringBuilder text, Machine machine, Node node, MigrateType[] types)
    {
        text.Append(CultureInfo.InvariantCulture, $"\n{"Number of blocks type",-23}");
        foreach (MigrateType type in types)
        {
            text.Append(CultureInfo.InvariantCulture, $"{KernelName(type),12} ");
        }

        text.Append('\n');
        foreach (Zone zone in node.Zones)
        {
            if (!zone.IsPopulated)
            {
                continue;
            }

            long[] counts = BlocksByType(machine, zone);
            text.Append(CultureInfo.InvariantCulture, $"Node {zone.Node.Id}, zone {zone.Name,8} ");
            foreach (MigrateType type in types)
            {
                text.Append(CultureInfo.InvariantCulture, $"{counts[(int)type],12} ");
            }

            text.Append('\n');
        }
    }

    /// <summary>The page blocks of a zone by type: one frame in each page block's length is looked at, starting with the zone's first one wherever that lies.</summary>
    private static long[] BlocksByType(Machine machine, Zone zone)
    {
        long[] counts = new long[FreeArea.MigrateTypes];
        for (long pfn = zone.StartPfn.Value; pfn < zone.EndPfn.Value; pfn += 1L << machine.ZoneTable.PageblockOrder)
        {
            if (machine.ZoneTable.ZoneOf((int)pfn) is { } owner ? owner == zone : StructPages.ExistsInHole(machine, pfn))
            {
                if (zone.PageblockType(new Pfn(pfn)) is { } type)
                {
                    counts[(int)type]++;
                }
            }
        }

        return counts;
    }

    private static int Count(Zone zone, int order, MigrateType type)
    {
        int count = 0;
        foreach (Pfn _ in zone.FreeList(order, type))
        {
            if (++count == LargestCount)
            {
                break;
            }
        }

        return count;
    }

    private static string KernelName(MigrateType type) => type == MigrateType.Cma ? "CMA" : type.ToString();
}
