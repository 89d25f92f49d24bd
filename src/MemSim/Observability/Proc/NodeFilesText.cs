using System.Globalization;
using System.Text;
using MemSim.Statistics;

namespace MemSim.Observability;

/// <summary>Writes the files of a node below <c>/sys/devices/system/node/nodeN</c>: <c>meminfo</c>, <c>vmstat</c> and <c>numastat</c>.</summary>
internal static class NodeFilesText
{
    private const int ToKiB = PageGeometry.PageShift - 10;
    private const int Columns = 24;

    public static string MemInfo(Machine machine, Node node)
    {
        NodeCounters n = node.Counters;
        long managed = node.Zones.Sum(z => z.ManagedPages);
        long free = node.Zones.Sum(z => z.FreePagesForChecks);
        StringBuilder text = new();
        Pages("MemTotal", managed);
        Pages("MemFree", free);
        Pages("MemUsed", managed - free);
        Pages("SwapCached", n.SwapCached);
        Pages("Active", n.ActiveAnon + n.ActiveFile);
        Pages("Inactive", n.InactiveAnon + n.InactiveFile);
        Pages("Active(anon)", n.ActiveAnon);
        Pages("Inactive(anon)", n.InactiveAnon);
        Pages("Active(file)", n.ActiveFile);
        Pages("Inactive(file)", n.InactiveFile);
        Pages("Unevictable", n.Unevictable);
        Pages("Mlocked", node.Zones.Sum(z => z.Counters.Mlock));
        if (machine.Architecture.IndexOf(ZoneType.HighMem) >= 0)
        {
            long high = node.Zones.Sum(z => machine.ZoneTable.IsHighMemory(z) ? z.ManagedPages : 0);
            long highFree = node.Zones.Sum(z => machine.ZoneTable.IsHighMemory(z) ? z.FreePagesForChecks : 0);
            Pages("HighTotal", high);
            Pages("HighFree", highFree);
            Pages("LowTotal", managed - high);
            Pages("LowFree", free - highFree);
        }

        Pages("Dirty", n.Dirty);
        Pages("Writeback", n.Writeback);
        Pages("FilePages", n.FilePages);
        Pages("Mapped", n.Mapped);
        Pages("AnonPages", n.AnonPages);
        Pages("Shmem", n.Shmem);
        Line("KernelStack", n.KernelStackKiB, Columns, " kB");
        Pages("PageTables", n.PageTables);
        Pages("SecPageTables", n.SecPageTables);
        Pages("NFS_Unstable", 0);
        Pages("Bounce", node.Zones.Sum(z => z.Counters.Bounce));
        Pages("WritebackTmp", n.WritebackTemp);
        Pages("KReclaimable", n.SlabReclaimable + n.KernelMiscReclaimable);
        Pages("Slab", n.SlabReclaimable + n.SlabUnreclaimable);
        Pages("SReclaimable", n.SlabReclaimable);
        Pages("SUnreclaim", n.SlabUnreclaimable);
        Pages("AnonHugePages", n.AnonHugePages);
        Pages("ShmemHugePages", n.ShmemHugePages);
        Pages("ShmemPmdMapped", n.ShmemPmdMapped);

        // 6.1 writes these two a column to the left.
        int shift = KernelBuild.IsNewer(machine) ? 0 : 1;
        Line("FileHugePages", n.FileHugePages << ToKiB, Columns - shift, " kB");
        Line("FilePmdMapped", n.FilePmdMapped << ToKiB, Columns - shift, " kB");
        if (KernelBuild.Prints(machine, Presence.Newer | Presence.X86With64Bits))
        {
            Pages("Unaccepted", 0);
        }

        // /proc/meminfo has it from 6.18 on.
        if (KernelBuild.Prints(machine, Presence.Since7_3))
        {
            Pages("Balloon", n.BalloonPages);
        }

        if (KernelBuild.Prints(machine, Presence.Since7_1))
        {
            Pages("GPUActive", n.GpuActive);
            Pages("GPUReclaim", n.GpuReclaim);
        }

        HugetlbPool pool = machine.Hugetlb.Pool;
        Line("HugePages_Total", pool.OnNode(node.Id), Columns - 2, "");
        Line("HugePages_Free", pool.FreeOnNode(node.Id), Columns - 2, "");
        Line("HugePages_Surp", pool.SurplusOnNode(node.Id), Columns - 2, "");
        return text.ToString();

        void Pages(string name, long pages) => Line(name, Math.Max(0, pages) << ToKiB, Columns, " kB");

        void Line(string name, long value, int columns, string unit)
        {
            if (!KernelBuild.Has(machine, name))
            {
                return;
            }

            string label = name + ":";
            string figure = value.ToString(CultureInfo.InvariantCulture);
            text.Append(CultureInfo.InvariantCulture, $"Node {node.Id} {label}{figure.PadLeft(Math.Max(0, columns - label.Length))}{unit}\n");
        }
    }

    public static string VmStat(Machine machine, Node node)
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"nr_free_pages {node.Zones.Sum(z => z.FreePagesForChecks)}\n");
        foreach (CounterTable.ZoneRow row in CounterTable.Zone)
        {
            if (KernelBuild.Prints(machine, row.Name, row.Only))
            {
                text.Append(CultureInfo.InvariantCulture, $"{row.Name} {node.Zones.Sum(row.Read)}\n");
            }
        }

        foreach (CounterTable.NodeRow row in CounterTable.Node)
        {
            if (KernelBuild.Prints(machine, row.Name, row.Only))
            {
                text.Append(CultureInfo.InvariantCulture, $"{row.Name} {row.Printed(machine, node.Counters)}\n");
            }
        }

        return text.ToString();
    }

    public static string NumaStat(Node node)
    {
        long Sum(Func<MemSim.Zones.PerCpuPages, long> counter) => node.Zones.Sum(z => z.Pcp.Sum(counter));
        return string.Create(CultureInfo.InvariantCulture,
            $"numa_hit {Sum(static p => p.NumaHit)}\nnuma_miss {Sum(static p => p.NumaMiss)}\nnuma_foreign {Sum(static p => p.NumaForeign)}\n"
            + $"interleave_hit {Sum(static p => p.NumaInterleave)}\nlocal_node {Sum(static p => p.NumaLocal)}\nother_node {Sum(static p => p.NumaOther)}\n");
    }
}
