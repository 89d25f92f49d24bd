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
                seen[$"{instrument.Name} {named.GetValueOrDefault("zone")} {named.GetValueOrDefault("node")}"] = value;
            }
        });
        listener.Start();
        listener.RecordObservableInstruments();
        return seen;
    }
}
