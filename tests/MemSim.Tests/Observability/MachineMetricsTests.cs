using System.Diagnostics.Metrics;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Observability;

public sealed class MachineMetricsTests
{
    [Fact]
    public void Instruments_report_the_machines_counters_by_zone()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents());
        using MachineMetrics metrics = new(machine, "under test");
        Cpu cpu = machine.Cpus[0];
        for (int i = 0; i < 100; i++)
        {
            cpu.AllocPage(Gfp.Kernel);
        }

        while (!cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, 10).IsNull)
        {
        }

        Dictionary<string, long> seen = Read();
        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);
        seen["memsim.page.allocations DMA32 0"].Should().BeGreaterThan(100);
        seen["memsim.page.free DMA32 0"].Should().Be(zone.TrueFreePages);
        seen["memsim.page.free DMA 0"].Should().Be(machine.Nodes[0].GetZone(ZoneType.Dma).TrueFreePages);
        seen["memsim.page.failures  "].Should().Be(1);
        seen["memsim.pcp.refills DMA32 0"].Should().BeGreaterThan(0);
        seen["memsim.pcp.hits DMA32 0"].Should().BeGreaterThan(seen["memsim.pcp.refills DMA32 0"]);
        seen["memsim.zone.watermark.boost DMA32 0"].Should().Be(zone.WatermarkBoost);

        cpu.AllocPage(Gfp.Kernel);
        Read()["memsim.page.allocations DMA32 0"].Should().Be(seen["memsim.page.allocations DMA32 0"] + 1);
    }

    [Fact]
    public void Slabs_reclaim_swap_and_the_oom_killer_are_told_as_vmstat_tells_them()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithSysctl("vm.overcommit_memory", "1"));
        using MachineMetrics metrics = new(machine, "under test");
        using BlockDevice disk = new("vdb", "64M");
        machine.Swap.SwapOn(disk);
        Process hog = machine.CreateProcess("hog");
        using (machine.Cpus[0].Run(hog))
        {
            VirtualAddress memory = hog.Mm.Mmap(256 << 20, Prot.Read | Prot.Write);
            for (long at = 0; at < 256 << 20 && machine.Cpus[0].User.PutUser(memory + at, at) == Errno.None; at += 4096)
            {
                if (at == 96 << 20)
                {
                    machine.Cpus[0].User.GetUser(memory, out long _);
                    machine.Background.Mode = BackgroundWork.Manual;             // from here on it has to reclaim for itself
                }
            }
        }

        Dictionary<string, long> seen = Read();
        Dictionary<string, long> vmstat = machine.Proc.VmStat.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Split(' ')).ToDictionary(w => w[0], w => long.Parse(w[1], System.Globalization.CultureInfo.InvariantCulture));
        seen["memsim.slab.pages  0 reclaimable=False"].Should().Be(vmstat["nr_slab_unreclaimable"]).And.BePositive();
        seen["memsim.slab.pages  0 reclaimable=True"].Should().Be(vmstat["nr_slab_reclaimable"]);
        seen["memsim.reclaim.scanned   by=kswapd"].Should().Be(vmstat["pgscan_kswapd"]).And.BePositive();
        seen["memsim.reclaim.freed   by=kswapd"].Should().Be(vmstat["pgsteal_kswapd"]).And.BePositive();
        seen["memsim.reclaim.freed   by=direct"].Should().Be(vmstat["pgsteal_direct"]);
        seen["memsim.reclaim.stalls  "].Should().Be(vmstat.Where(v => v.Key.StartsWith("allocstall_", StringComparison.Ordinal)).Sum(v => v.Value)).And.BePositive();
        seen["memsim.swap.out  "].Should().Be(vmstat["pswpout"]).And.BePositive();
        seen["memsim.swap.in  "].Should().Be(vmstat["pswpin"]);
        (seen["memsim.faults   kind=minor"] + seen["memsim.faults   kind=major"]).Should().Be(vmstat["pgfault"]).And.BePositive();
        seen["memsim.faults   kind=major"].Should().Be(vmstat["pgmajfault"]);
        seen["memsim.oom.kills  "].Should().Be(vmstat["oom_kill"]).And.Be(1);
        seen["memsim.swap.used  "].Should().Be(machine.Swap.TotalPages - machine.Swap.FreePages);
        seen["memsim.kswapd.wakeups  0"].Should().Be(machine.Nodes[0].KswapdWakeups).And.BePositive();
        seen["memsim.slab.failures  "].Should().Be(machine.Slab.AllocationFailures);
        seen["memsim.compaction.moved  "].Should().Be(vmstat["pgmigrate_success"]);
    }

    [Fact]
    public void Nothing_is_published_after_dispose()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64(ByteSize.FromMiB(128)).WithoutContents());
        MachineMetrics metrics = new(machine, "under test");
        metrics.Dispose();

        Read().Should().BeEmpty();
    }

    private static Dictionary<string, long> Read()
    {
        Dictionary<string, long> seen = [];
        using MeterListener listener = new();
        listener.InstrumentPublished = (instrument, l) =>
        {
            if (instrument.Meter.Name == MachineMetrics.MeterName)
            {
                l.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            Dictionary<string, object?> named = [];
            foreach (KeyValuePair<string, object?> tag in tags)
            {
                named[tag.Key] = tag.Value;
            }

            if (named.GetValueOrDefault("machine") is "under test")
            {
                string others = string.Concat(named.Where(tag => tag.Key is not ("zone" or "node" or "machine")).Select(tag => $" {tag.Key}={tag.Value}"));
                seen[$"{instrument.Name} {named.GetValueOrDefault("zone")} {named.GetValueOrDefault("node")}{others}"] = value;
            }
        });
        listener.Start();
        listener.RecordObservableInstruments();
        return seen;
    }
}
