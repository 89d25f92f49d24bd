using System.Globalization;
using System.Text;
using MemSim.Compaction;

namespace MemSim.Observability;

/// <summary>Writes <c>/proc/buddyinfo</c> and the two fragmentation indices of <c>/sys/kernel/debug/extfrag</c>: a line for each populated zone, a column an order.</summary>
internal static class BuddyInfoText
{
    public static string Of(Machine machine) =>
        Lines(machine, static (text, zone) =>
        {
            for (int order = 0; order <= PageGeometry.MaxOrder; order++)
            {
                text.Append(CultureInfo.InvariantCulture, $"{zone.FreeBlocks(order),6} ");
            }
        });

    /// <summary>Whether a failure of each order would be for want of memory (towards 0) or because of fragmentation (towards 1); -1 where it would not fail.</summary>
    public static string ExtFragIndex(Machine machine) =>
        Lines(machine, static (text, zone) =>
        {
            for (int order = 0; order <= PageGeometry.MaxOrder; order++)
            {
                long index = Suitability.FragmentationIndex(zone, order);
                text.Append(CultureInfo.InvariantCulture, $"{index / 1000,2}.{index % 1000:000} ");
            }
        });

    /// <summary>Which part of the free memory is in blocks too small for each order.</summary>
    public static string UnusableIndex(Machine machine) =>
        Lines(machine, static (text, zone) =>
        {
            for (int order = 0; order <= PageGeometry.MaxOrder; order++)
            {
                long index = UnusableIndex(zone, order);
                text.Append(CultureInfo.InvariantCulture, $"{index / 1000}.{index % 1000:000} ");
            }
        });

    /// <summary>The unusable part of a zone's free memory in thousandths.</summary>
    public static long UnusableIndex(Zone zone, int order)
    {
        (long pages, _, long usablePages) = Suitability.FreeBlocks(zone, order);
        return pages == 0 ? 1000 : (pages - usablePages) * 1000 / pages;
    }

    private static string Lines(Machine machine, Action<StringBuilder, Zone> columns)
    {
        StringBuilder text = new();
        foreach (Zone zone in machine.Zones)
        {
            if (zone.IsPopulated)
            {
                text.Append(CultureInfo.InvariantCulture, $"Node {zone.Node.Id}, zone {zone.Name,8} ");
                columns(text, zone);
                text.Append('\n');
            }
        }

        return text.ToString();
    }
}
