using System.Globalization;
using System.Text;
using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Writes <c>/proc/meminfo</c>.</summary>
internal static class MemInfoText
{
    public static string Of(Machine machine)
    {
        Writer lines = new(machine);
        SystemFigures system = machine.SystemFigures;
        long hugePageKiB = KernelBuild.HugePagePages(machine) << (PageGeometry.PageShift - 10);
        long managed = machine.Zones.Sum(z => z.ManagedPages);
        long Node(Func<NodeCounters, long> counter) => Available.Sum(machine, counter);
        long Zone(Func<Zone, long> counter) => machine.Zones.Sum(counter);

        lines.Pages("MemTotal", managed);
        lines.Pages("MemFree", Available.FreePages(machine));
        lines.Pages("MemAvailable", Available.Pages(machine));
        lines.Pages("Buffers", system.BufferPages);
        lines.Pages("Cached", Math.Max(0, Node(static n => n.FilePages - n.SwapCached) - system.BufferPages));
        lines.Pages("SwapCached", Node(static n => n.SwapCached));
        lines.Pages("Active", Node(static n => n.ActiveAnon + n.ActiveFile));
        lines.Pages("Inactive", Node(static n => n.InactiveAnon + n.InactiveFile));
        lines.Pages("Active(anon)", Node(static n => n.ActiveAnon));
        lines.Pages("Inactive(anon)", Node(static n => n.InactiveAnon));
        lines.Pages("Active(file)", Node(static n => n.ActiveFile));
        lines.Pages("Inactive(file)", Node(static n => n.InactiveFile));
        lines.Pages("Unevictable", Node(static n => n.Unevictable));
        lines.Pages("Mlocked", Zone(static z => z.Counters.Mlock));
        if (machine.Architecture.IndexOf(ZoneType.HighMem) >= 0)
        {
            long high = Zone(z => machine.ZoneTable.IsHighMemory(z) ? z.ManagedPages : 0);
            long highFree = Zone(z => machine.ZoneTable.IsHighMemory(z) ? z.FreePagesForChecks : 0);
            lines.Pages("HighTotal", high);
            lines.Pages("HighFree", highFree);
            lines.Pages("LowTotal", managed - high);
            lines.Pages("LowFree", Available.FreePages(machine) - highFree);
        }

        lines.Pages("SwapTotal", system.SwapTotalPages);
        lines.Pages("SwapFree", system.SwapFreePages);
        lines.KiB("Zswap", system.ZswapKiB);
        lines.KiB("Zswapped", system.ZswappedKiB);
        lines.Pages("Dirty", Node(static n => n.Dirty));
        lines.Pages("Writeback", Node(static n => n.Writeback));
        lines.Pages("AnonPages", Node(static n => n.AnonPages));
        lines.Pages("Mapped", Node(static n => n.Mapped));
        lines.Pages("Shmem", Node(static n => n.Shmem));
        lines.Pages("KReclaimable", Node(static n => n.SlabReclaimable + n.KernelMiscReclaimable));
        lines.Pages("Slab", Node(static n => n.SlabReclaimable + n.SlabUnreclaimable));
        lines.Pages("SReclaimable", Node(static n => n.SlabReclaimable));
        lines.Pages("SUnreclaim", Node(static n => n.SlabUnreclaimable));
        lines.KiB("KernelStack", Node(static n => n.KernelStackKiB));
        lines.Pages("PageTables", Node(static n => n.PageTables));
        lines.Pages("SecPageTables", Node(static n => n.SecPageTables));
        lines.Pages("NFS_Unstable", 0);
        lines.Pages("Bounce", Zone(static z => z.Counters.Bounce));
        lines.Pages("WritebackTmp", Node(static n => n.WritebackTemp));
        lines.Pages("CommitLimit", MemoryTotals.CommitLimit(machine));
        lines.Pages("Committed_AS", system.CommittedPages);
        lines.KiB("VmallocTotal", system.VmallocTotalKiB ?? UsualVmallocKiB(machine));
        lines.Pages("VmallocUsed", system.VmallocUsedPages);
        lines.Pages("VmallocChunk", 0);
        lines.Pages("Percpu", system.PerCpuPages);
        lines.KiB("HardwareCorrupted", system.HardwareCorruptedPages << (PageGeometry.PageShift - 10));
        lines.Pages("AnonHugePages", Node(static n => n.AnonHugePages));
        lines.Pages("ShmemHugePages", Node(static n => n.ShmemHugePages));
        lines.Pages("ShmemPmdMapped", Node(static n => n.ShmemPmdMapped));
        lines.Pages("FileHugePages", Node(static n => n.FileHugePages));
        lines.Pages("FilePmdMapped", Node(static n => n.FilePmdMapped));
        if (machine.Cma.IsConfigured)
        {
            lines.Pages("CmaTotal", Zone(static z => z.CmaPages));
            lines.Pages("CmaFree", Zone(static z => Math.Max(0, z.FreeCmaPages)));
        }

        if (KernelBuild.Prints(machine, Presence.Newer | Presence.X86With64Bits))
        {
            lines.Pages("Unaccepted", 0);
        }

        if (KernelBuild.Prints(machine, Presence.Since6_18))
        {
            lines.Pages("Balloon", Node(static n => n.BalloonPages));
        }

        if (KernelBuild.Prints(machine, Presence.Since7_1))
        {
            lines.Pages("GPUActive", Node(static n => n.GpuActive));
            lines.Pages("GPUReclaim", Node(static n => n.GpuReclaim));
        }

        lines.Count("HugePages_Total", system.HugePagesTotal);
        lines.Count("HugePages_Free", system.HugePagesFree);
        lines.Count("HugePages_Rsvd", system.HugePagesReserved);
        lines.Count("HugePages_Surp", system.HugePagesSurplus);
        lines.KiB("Hugepagesize", (long)machine.Hugetlb.Pool.PageSize.Bytes >> 10);
        lines.Pages("Hugetlb", system.HugetlbPages);
        AppendDirectMap(lines, machine, hugePageKiB);
        return lines.ToString();
    }

    private static void AppendDirectMap(Writer lines, Machine machine, long hugePageKiB)
    {
        if (machine.Architecture.Architecture == Architecture.Arm64)
        {
            return;
        }

        lines.KiB("DirectMap4k", machine.SystemFigures.DirectMap4KiB);
        lines.KiB($"DirectMap{hugePageKiB >> 10}M", machine.SystemFigures.DirectMapLargeKiB);
        if (machine.Architecture.Bits == 64 && machine.SystemFigures.HasGigabytePages)
        {
            lines.KiB("DirectMap1G", machine.SystemFigures.DirectMap1GiB);
        }
    }

    /// <summary>The vmalloc area without randomisation: fixed on 64 bits; on 32 bits what the direct map leaves between 8 MiB above it and the fixed mappings.</summary>
    private static long UsualVmallocKiB(Machine machine)
    {
        ulong fixedMappings32 = machine.Architecture.Architecture == Architecture.X86_32Pae ? 0xfeff_e000 : 0xfebf_e000;
        const ulong Gap32 = 8 << 20;
        return machine.Architecture.Architecture switch
        {
            Architecture.X86_64 => 34359738367,
            Architecture.Arm64 => (long)((KernelAddressSpace.ArmVmallocEnd - KernelAddressSpace.ArmVmallocStart) >> 10),
            _ => (long)((fixedMappings32 - Math.Min(fixedMappings32, machine.Architecture.PageOffset + LowMemoryBytes(machine) + Gap32)) >> 10),
        };
    }

    /// <summary>Memory below the first high memory, holes included.</summary>
    private static ulong LowMemoryBytes(Machine machine) =>
        (ulong)machine.Zones.Where(z => z.IsPopulated && !machine.ZoneTable.IsHighMemory(z)).Select(z => z.EndPfn.Value).DefaultIfEmpty(0).Max() << PageGeometry.PageShift;

    /// <summary>Lines of a name and a figure; both fill 24 columns together.</summary>
    private sealed class Writer(Machine machine)
    {
        private const int NameColumns = 16;
        private const int FigureColumns = 8;

        private readonly StringBuilder _text = new();

        public void Pages(string name, long pages) => KiB(name, pages << (PageGeometry.PageShift - 10));

        public void KiB(string name, long kiB) => Line(name, kiB, " kB");

        public void Count(string name, long count) => Line(name, count, "");

        public override string ToString() => _text.ToString();

        private void Line(string name, long value, string unit)
        {
            if (!KernelBuild.Has(machine, name))
            {
                return;
            }

            string label = (name + ":").PadRight(NameColumns);
            string figure = value.ToString(CultureInfo.InvariantCulture);
            _text.Append(label).Append(figure.PadLeft(Math.Max(0, NameColumns + FigureColumns - label.Length))).Append(unit).Append('\n');
        }
    }
}
