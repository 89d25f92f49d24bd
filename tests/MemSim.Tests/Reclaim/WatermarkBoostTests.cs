using FluentAssertions;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>Watermarks raised because page blocks were mixed, and what kswapd makes of it.</summary>
public sealed class WatermarkBoostTests : MachineTests
{
    [Fact]
    public void Kswapd_reclaims_what_was_boosted_without_swapping_and_asks_for_whole_blocks()
    {
        Machine machine = Boot(MachineSpec.X86_64("256M", cpus: 1));
        machine.Background.Mode = BackgroundWork.Manual;
        Cpu cpu = machine.Cpus[0];
        FakeOwners owners = new(machine, swapPages: 100_000);
        Zone zone = machine.Zones.Where(z => z.IsPopulated).MaxBy(z => z.ManagedPages)!;
        for (int i = 0; i < 10_000; i++)
        {
            owners.Touch(cpu);
            owners.Read(cpu);
        }

        machine.Lru.Drain(cpu);
        MovablePool pool = machine.Migration.CreateMovablePool();
        pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        machine.Background.Run();
        long stolen = machine.Events[VmEvent.StealKswapd];
        for (int i = 0; i < 20_000 && zone.Boost == 0; i++)
        {
            cpu.AllocPage(Gfp.Kernel).IsNull.Should().BeFalse("kernel pages go into blocks of movable ones");
        }

        long boost = zone.Boost;
        boost.Should().BePositive();
        zone.TrueFreePages.Should().BeGreaterThan(zone.MarkHigh, "memory is not short, it is mixed");
        zone.GetWatermark(Watermark.High).Should().Be(zone.MarkHigh);
        zone.GetWatermarkPages(Watermark.High).Should().Be(zone.MarkHigh + boost);

        machine.Background.Run().Should().BePositive("it wakes although the node is balanced");

        zone.Boost.Should().Be(0);
        (machine.Events[VmEvent.StealKswapd] - stolen).Should().BeInRange(boost / 2, boost * 3);
        (machine.Events[VmEvent.ScanAnon], owners.Written.Count).Should().Be((0, 0), "a boost is worth no I/O");
        machine.Events[VmEvent.CompactDaemonWake].Should().Be(1);
    }

    [Fact]
    public void A_factor_of_0_switches_it_off()
    {
        Machine machine = Boot(MachineSpec.X86_64("256M", cpus: 1));
        machine.Sysctl.Set("watermark_boost_factor", "0");
        Cpu cpu = machine.Cpus[0];
        machine.Migration.CreateMovablePool().Fill(cpu);
        cpu.AllocateAll(Gfp.Kernel | Gfp.NoRetry);

        machine.Zones.Should().OnlyContain(zone => zone.Boost == 0);
    }
}
