using System.Globalization;
using System.Text;
using MemSim.Kernels;
using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Writes the memory part of a failure or OOM report, without the time stamps of the log.</summary>
/// <remarks>Kernel: <c>show_mem()</c>, which SysRq-m calls too.</remarks>
internal sealed class ShowMemText
{
    private const string TypeLetters = "UMEHCI";
    private const int ToKiB = PageGeometry.PageShift - 10;

    private readonly Machine _machine;
    private readonly Cpu _cpu;
    private readonly int _highestZoneIndex;
    private readonly ulong _nodeMask;
    private readonly StringBuilder _text = new();

    private ShowMemText(Machine machine, Cpu cpu, int highestZoneIndex, ulong nodeMask)
    {
        _machine = machine;
        _cpu = cpu;
        _highestZoneIndex = highestZoneIndex;
        _nodeMask = nodeMask;
    }

    /// <summary>Writes the report.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="cpu">The CPU that prints it: <c>local_pcp</c> is its own.</param>
    /// <param name="highestZoneIndex">Zones above, which the failed request could not use, are left out.</param>
    /// <param name="nodeMask">Nodes to print, one bit each.</param>
    public static string Of(Machine machine, Cpu cpu, int highestZoneIndex = int.MaxValue, ulong nodeMask = ulong.MaxValue)
    {
        ShowMemText report = new(machine, cpu, highestZoneIndex, nodeMask);
        report.AppendTotals();
        report.AppendNodes();
        report.AppendZones();
        report.AppendFreeBlocks();
        report.AppendHugePages();
        report.AppendClosing();
        return report._text.ToString();
    }

    private void AppendTotals()
    {
        long Sum(Func<NodeCounters, long> counter) => Available.Sum(_machine, counter);
        _text.Append("Mem-Info:\n");
        Line($"active_anon:{Sum(static n => n.ActiveAnon)} inactive_anon:{Sum(static n => n.InactiveAnon)} isolated_anon:{Sum(static n => n.IsolatedAnon)}");
        Line($" active_file:{Sum(static n => n.ActiveFile)} inactive_file:{Sum(static n => n.InactiveFile)} isolated_file:{Sum(static n => n.IsolatedFile)}");
        Line($" unevictable:{Sum(static n => n.Unevictable)} dirty:{Sum(static n => n.Dirty)} writeback:{Sum(static n => n.Writeback)}");
        Line($" slab_reclaimable:{Sum(static n => n.SlabReclaimable)} slab_unreclaimable:{Sum(static n => n.SlabUnreclaimable)}");
        Line($" mapped:{Sum(static n => n.Mapped)} shmem:{Sum(static n => n.Shmem)} pagetables:{Sum(static n => n.PageTables)}");
        Line($" sec_pagetables:{Sum(static n => n.SecPageTables)} bounce:{_machine.Zones.Sum(z => z.Counters.Bounce)}");
        Line($" kernel_misc_reclaimable:{Sum(static n => n.KernelMiscReclaimable)}");
        Line($" free:{Available.FreePages(_machine)} free_pcp:{Printed().Sum(PcpPages)} free_cma:{_machine.Zones.Sum(z => Math.Max(0, z.FreeCmaPages))}");
    }

    private void AppendNodes()
    {
        bool newer = KernelBuild.HasRowsOf(_machine, RowSet.Of6_18);
        string blank = newer ? "" : " ";
        foreach (Node node in _machine.Nodes)
        {
            if (!Printed().Any(z => z.Node == node))
            {
                continue;
            }

            NodeCounters n = node.Counters;
            Line($"Node {node.Id} active_anon:{n.ActiveAnon << ToKiB}kB inactive_anon:{n.InactiveAnon << ToKiB}kB active_file:{n.ActiveFile << ToKiB}kB"
                + $" inactive_file:{n.InactiveFile << ToKiB}kB unevictable:{n.Unevictable << ToKiB}kB isolated(anon):{n.IsolatedAnon << ToKiB}kB isolated(file):{n.IsolatedFile << ToKiB}kB"
                + $" mapped:{n.Mapped << ToKiB}kB dirty:{n.Dirty << ToKiB}kB writeback:{n.Writeback << ToKiB}kB shmem:{n.Shmem << ToKiB}kB"
                + $" shmem_thp:{blank}{n.ShmemHugePages << ToKiB}kB shmem_pmdmapped:{blank}{n.ShmemPmdMapped << ToKiB}kB anon_thp:{blank}{n.AnonHugePages << ToKiB}kB"
                + (newer ? "" : $" writeback_tmp:{n.WritebackTemp << ToKiB}kB")
                + $" kernel_stack:{n.KernelStackKiB}kB pagetables:{n.PageTables << ToKiB}kB"
                + $" sec_pagetables:{n.SecPageTables << ToKiB}kB all_unreclaimable? {(n.IsUnreclaimable ? "yes" : "no")}"
                + (newer ? $" Balloon:{n.BalloonPages << ToKiB}kB" : "")
                + (KernelBuild.HasRowsOf(_machine, RowSet.Of7_1) ? $" gpu_active:{n.GpuActive << ToKiB}kB gpu_reclaim:{n.GpuReclaim << ToKiB}kB" : ""));
        }
    }

    private void AppendZones()
    {
        bool newer = KernelBuild.HasRowsOf(_machine, RowSet.Of6_18);
        string unit = KernelBuild.HasRowsOf(_machine, RowSet.Of7_3) ? "kB" : "KB";
        foreach (Zone zone in Printed())
        {
            ZoneCounters c = zone.Counters;
            Line($"{Name(zone)} free:{zone.FreePagesForChecks << ToKiB}kB boost:{zone.Boost << ToKiB}kB min:{zone.GetWatermarkPages(Watermark.Min) << ToKiB}kB"
                + $" low:{zone.GetWatermarkPages(Watermark.Low) << ToKiB}kB high:{zone.GetWatermarkPages(Watermark.High) << ToKiB}kB"
                + $" reserved_highatomic:{zone.ReservedHighAtomicPages << ToKiB}{unit}"
                + (newer ? $" free_highatomic:{zone.FreeHighAtomicPages << ToKiB}{unit}" : "")
                + $" active_anon:{c.ActiveAnon << ToKiB}kB inactive_anon:{c.InactiveAnon << ToKiB}kB"
                + $" active_file:{c.ActiveFile << ToKiB}kB inactive_file:{c.InactiveFile << ToKiB}kB unevictable:{c.Unevictable << ToKiB}kB writepending:{c.WritePending << ToKiB}kB"
                + (newer ? $" zspages:{c.ZsPages << ToKiB}kB" : "")
                + $" present:{zone.PresentPages << ToKiB}kB managed:{zone.ManagedPages << ToKiB}kB mlocked:{c.Mlock << ToKiB}kB bounce:{c.Bounce << ToKiB}kB"
                + $" free_pcp:{PcpPages(zone) << ToKiB}kB local_pcp:{(long)zone.Pcp[_cpu.Id].Count << ToKiB}kB free_cma:{Math.Max(0, zone.FreeCmaPages) << ToKiB}kB");
            _text.Append("lowmem_reserve[]: ").AppendJoin(' ', zone.LowmemReserve).Append('\n');
        }
    }

    private void AppendFreeBlocks()
    {
        foreach (Zone zone in Printed())
        {
            long total = 0;
            _text.Append(Name(zone)).Append(": ");
            zone.EnterLock();
            for (int order = 0; order <= PageGeometry.MaxOrder; order++)
            {
                long blocks = zone.FreeBlocks(order);
                total += blocks << order;
                _text.Append(CultureInfo.InvariantCulture, $"{blocks}*{1L << order << ToKiB}kB ");
                if (blocks != 0)
                {
                    _text.Append('(').Append(TypesOf(zone, order)).Append(") ");
                }
            }

            zone.ExitLock();
            Line($"= {total << ToKiB}kB");
        }
    }

    /// <summary>The letters of the migrate types that have a block of an order.</summary>
    private static string TypesOf(Zone zone, int order)
    {
        string letters = "";
        for (int type = 0; type < FreeArea.MigrateTypes; type++)
        {
            letters += (zone.FreeArea.Orders(type) >> order & 1) != 0 ? TypeLetters[type] : "";
        }

        return letters;
    }

    /// <summary>The pools of huge pages, largest first.</summary>
    private void AppendHugePages()
    {
        long usual = KernelBuild.HugePagePages(_machine) << ToKiB;
        long[] sizes = _machine.Architecture.Architecture switch
        {
            Architecture.X86_64 when _machine.SystemFigures.HasGigabytePages => [1 << 20, usual],
            Architecture.Arm64 => [.. MachineHugetlb.OrdersOf(Architecture.Arm64, gigabytePages: true).Select(order => (PageGeometry.PageSize >> 10) * (1L << order))],
            _ => [usual],
        };
        foreach (Node node in _machine.Nodes)
        {
            if ((_nodeMask >> node.Id & 1) == 0)
            {
                continue;
            }

            foreach (long size in sizes)
            {
                HugetlbPool? pool = _machine.Hugetlb.PoolOf(ByteSize.FromKiB((ulong)size));
                Line($"Node {node.Id} hugepages_total={pool?.OnNode(node.Id) ?? 0} hugepages_free={pool?.FreeOnNode(node.Id) ?? 0} hugepages_surp={pool?.SurplusOnNode(node.Id) ?? 0} hugepages_size={size}kB");
            }
        }
    }

    private void AppendClosing()
    {
        IReadOnlyList<Zone> zones = _machine.Zones;
        Line($"{Available.Sum(_machine, static n => n.FilePages)} total pagecache pages");
        Line($"{Available.Sum(_machine, static n => n.SwapCached)} pages in swap cache");
        Line($"Free swap  = {_machine.SystemFigures.SwapFreePages << ToKiB}kB");
        Line($"Total swap = {_machine.SystemFigures.SwapTotalPages << ToKiB}kB");
        Line($"{zones.Sum(z => z.PresentPages)} pages RAM");
        Line($"{zones.Sum(z => _machine.ZoneTable.IsHighMemory(z) ? z.PresentPages : 0)} pages HighMem/MovableOnly");
        Line($"{zones.Sum(z => z.PresentPages - z.ManagedPages)} pages reserved");
        if (_machine.Cma.IsConfigured)
        {
            Line($"{zones.Sum(z => z.CmaPages)} pages cma reserved");
        }

        if (KernelBuild.Has(_machine, "HardwareCorrupted"))
        {
            Line($"{_machine.SystemFigures.HardwareCorruptedPages} pages hwpoisoned");
        }

        if (KernelBuild.HasRowsOf(_machine, RowSet.Of7_0))
        {
            // Of the root group, which has neither.
            Line($"Memory cgroup min protection 0kB -- low protection 0kB");
        }
    }

    private IEnumerable<Zone> Printed()
    {
        foreach (Zone zone in _machine.Zones)
        {
            if (zone.IsPopulated && zone.Index <= _highestZoneIndex && (_nodeMask >> zone.Node.Id & 1) != 0)
            {
                yield return zone;
            }
        }
    }

    private long PcpPages(Zone zone)
    {
        long pages = 0;
        foreach (Cpu cpu in _machine.Cpus)
        {
            pages += cpu.IsOnline ? zone.Pcp[cpu.Id].Count : 0;
        }

        return pages;
    }

    /// <summary>The zone's name; a kernel built for several nodes says which one it is of.</summary>
    private string Name(Zone zone) => KernelBuild.HasNuma(_machine) ? $"Node {zone.Node.Id} {zone.Name}" : zone.Name;

    private void Line(string text) => _text.Append(text).Append('\n');
}
