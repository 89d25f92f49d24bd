using System.Globalization;
using System.Text;
using MemSim.Kernels;

namespace MemSim.Observability;

/// <summary>Writes <c>/proc/zoneinfo</c>.</summary>
internal static class ZoneInfoText
{
    public static string Of(Machine machine)
    {
        StringBuilder text = new();
        foreach (Node node in machine.Nodes)
        {
            Zone? firstPopulated = node.Zones.FirstOrDefault(z => z.IsPopulated);
            if (firstPopulated is null)
            {
                // A node of CPUs alone has no zones in the file.
                continue;
            }

            foreach (Zone zone in node.Zones)
            {
                Append(text, machine, zone, zone == firstPopulated);
            }
        }

        return text.ToString();
    }

    private static void Append(StringBuilder text, Machine machine, Zone zone, bool withNodeCounters)
    {
        CultureInfo plain = CultureInfo.InvariantCulture;
        text.Append(plain, $"Node {zone.Node.Id}, zone {zone.Name,8}\n");
        if (withNodeCounters)
        {
            text.Append("  per-node stats\n");
            foreach (CounterTable.NodeRow row in CounterTable.Node)
            {
                if (KernelBuild.Prints(machine, row.Name, row.Only))
                {
                    AppendCounter(text, row.Name, row.Printed(machine, zone.Node.Counters));
                }
            }
        }

        text.Append(plain, $"  pages free     {zone.FreePagesForChecks}\n");
        AppendFigure(text, "boost", zone.WatermarkBoost);
        AppendFigure(text, "min", zone.GetWatermarkPages(Watermark.Min));
        AppendFigure(text, "low", zone.GetWatermarkPages(Watermark.Low));
        AppendFigure(text, "high", zone.GetWatermarkPages(Watermark.High));
        if (KernelBuild.IsNewer(machine))
        {
            AppendFigure(text, "promo", zone.GetWatermarkPages(Watermark.Promo));
        }

        AppendFigure(text, "spanned", zone.SpannedPages);
        AppendFigure(text, "present", zone.PresentPages);
        AppendFigure(text, "managed", zone.ManagedPages);
        AppendFigure(text, "cma", zone.CmaPages);
        text.Append("        protection: (").AppendJoin(", ", zone.LowmemReserve).Append(")\n");
        if (!zone.IsPopulated)
        {
            return;
        }

        AppendCounter(text, "nr_free_pages", zone.FreePagesForChecks);
        foreach (CounterTable.ZoneRow row in CounterTable.Zone)
        {
            if (KernelBuild.Prints(machine, row.Name, row.Only))
            {
                AppendCounter(text, row.Name, row.Read(zone));
            }
        }

        bool withBounds = KernelBuild.HasRowsOf(machine, RowSet.Of6_18);
        int width = withBounds ? 9 : 6;
        text.Append("  pagesets");
        foreach (Cpu cpu in machine.Cpus)
        {
            if (cpu.IsOnline)
            {
                PagesetInfo pageset = zone.Pageset(cpu.Id);
                text.Append(plain, $"\n    cpu: {cpu.Id}");
                AppendPageset(text, width, "count:", pageset.Count);
                AppendPageset(text, width, "high:", pageset.High);
                AppendPageset(text, width, "batch:", pageset.Batch);
                if (withBounds)
                {
                    AppendPageset(text, width, "high_min:", pageset.HighMin);
                    AppendPageset(text, width, "high_max:", pageset.HighMax);
                }

                text.Append(plain, $"\n  vm stats threshold: {pageset.StatThreshold}");
            }
        }

        text.Append(plain, $"\n  node_unreclaimable:  {(zone.Node.Counters.IsUnreclaimable ? 1 : 0)}\n  start_pfn:           {zone.StartPfn.Value}\n");
        if (KernelBuild.HasRowsOf(machine, RowSet.Of7_0))
        {
            text.Append(plain, $"  reserved_highatomic: {zone.ReservedHighAtomicPages}\n  free_highatomic:     {zone.FreeHighAtomicPages}\n");
        }
    }

    private static void AppendPageset(StringBuilder text, int width, string name, long value) =>
        text.Append("\n              ").Append(name.PadRight(width)).Append(' ').Append(value.ToString(CultureInfo.InvariantCulture));

    private static void AppendFigure(StringBuilder text, string name, long value) => text.Append(CultureInfo.InvariantCulture, $"        {name,-8} {value}\n");

    private static void AppendCounter(StringBuilder text, string name, long value) => text.Append(CultureInfo.InvariantCulture, $"      {name,-12} {value}\n");
}
