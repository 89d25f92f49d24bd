using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Zones;

/// <summary>Writing a sysctl recalculates what the kernel recalculates, and nothing else.</summary>
public class SysctlTests : MachineTests
{
    private Machine TwoGiB() => Boot(MachineSpec.X86_64("2G", cpus: 2));

    [Theory]
    [InlineData(1024)]
    [InlineData(67584)]
    [InlineData(200000)]
    public void Min_free_kbytes_is_shared_among_the_zones_by_their_size(int kbytes)
    {
        Machine machine = TwoGiB();
        machine.Sysctl.Set("vm.min_free_kbytes", kbytes.ToString());
        machine.Sysctl.Get("min_free_kbytes").Should().Be(kbytes.ToString());
        long managed = machine.Zones.Sum(z => z.ManagedPages);
        foreach (Zone zone in machine.Zones.Where(z => z.IsPopulated))
        {
            long min = kbytes / 4L * zone.ManagedPages / managed;
            long gap = Math.Max(min / 4, zone.ManagedPages * 10 / 10000);
            zone.GetWatermark(Watermark.Min).Should().Be(min);
            zone.GetWatermark(Watermark.Low).Should().Be(min + gap);
            zone.GetWatermark(Watermark.High).Should().Be(min + (2 * gap));
            zone.GetWatermark(Watermark.Promo).Should().Be(min + (3 * gap));
        }
    }

    [Fact]
    public void Watermark_scale_factor_sets_the_distance_of_the_marks()
    {
        Machine machine = TwoGiB();
        machine.Sysctl.Set("watermark_scale_factor", "1000");
        foreach (Zone zone in machine.Zones.Where(z => z.IsPopulated))
        {
            long gap = Math.Max(zone.GetWatermark(Watermark.Min) / 4, zone.ManagedPages / 10);
            (zone.GetWatermark(Watermark.Low) - zone.GetWatermark(Watermark.Min)).Should().Be(gap);
        }

        machine.Invoking(m => m.Sysctl.Set("watermark_scale_factor", "0")).Should().Throw<ArgumentException>();
        machine.Invoking(m => m.Sysctl.Set("watermark_scale_factor", "3001")).Should().Throw<ArgumentException>();
    }

    [Fact]
    public void Lowmem_reserve_ratio_sets_what_lower_zones_keep_back()
    {
        Machine machine = TwoGiB();
        Zone dma = machine.Nodes[0].GetZone(ZoneType.Dma);
        long above = machine.Nodes[0].GetZone(ZoneType.Dma32).ManagedPages;
        dma.LowmemReserve[1].Should().BeInRange((above / 256) - 50, above / 256, "at boot, parts of memory were not freed yet");
        machine.Sysctl.Set("lowmem_reserve_ratio", "256 256 32 0 0");
        dma.LowmemReserve[1].Should().Be(above / 256);
        machine.Sysctl.Set("lowmem_reserve_ratio", "32\t256\t32\t0\t0");
        dma.LowmemReserve[1].Should().Be(above / 32);
        machine.Sysctl.Set("lowmem_reserve_ratio", "0 256 32 0 0");
        dma.LowmemReserve[1].Should().Be(0, "0 turns the reserve off");
    }

    [Fact]
    public void Percpu_pagelist_high_fraction_sets_high_and_0_goes_back_to_the_default()
    {
        Machine machine = TwoGiB();
        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);
        PagesetInfo before = zone.Pageset(0);
        machine.Sysctl.Set("percpu_pagelist_high_fraction", "8");
        zone.Pageset(0).High.Should().Be((int)(zone.ManagedPages / 8 / 2));
        zone.Pageset(1).High.Should().Be(zone.Pageset(0).High);
        machine.Sysctl.Set("percpu_pagelist_high_fraction", "0");
        zone.Pageset(0).High.Should().Be(before.High);
        machine.Invoking(m => m.Sysctl.Set("percpu_pagelist_high_fraction", "7")).Should().Throw<ArgumentException>();
        zone.Pageset(0).Should().Be(before);
    }

    [Fact]
    public void With_boost_factor_0_mixing_page_blocks_boosts_nothing()
    {
        foreach (string factor in new[] { "0", "15000" })
        {
            Machine machine = MovableBlocksOnly();
            machine.Sysctl.Set("watermark_boost_factor", factor);
            machine.Cpus[0].TakeIgnoringWatermarks().IsNull.Should().BeFalse();
            machine.OnlyZone().WatermarkBoost.Should().Be(factor == "0" ? 0 : 512);
        }
    }

    [Theory]
    [InlineData("min_free_kbytes", "10000")]
    [InlineData("watermark_scale_factor", "20")]
    public void Setting_the_watermarks_up_anew_takes_a_boost_back(string name, string text)
    {
        Machine machine = MovableBlocksOnly();
        machine.Cpus[0].TakeIgnoringWatermarks();
        machine.OnlyZone().WatermarkBoost.Should().Be(512);
        machine.Sysctl.Set(name, text);
        machine.OnlyZone().WatermarkBoost.Should().Be(0);
    }

    [Fact]
    public void A_refused_value_changes_nothing()
    {
        Machine machine = TwoGiB();
        string before = machine.StateText();
        foreach ((string name, string text) in new[] { ("min_free_kbytes", "-1"), ("min_free_kbytes", "many"), ("no_such_file", "1"), ("watermark_boost_factor", "-5"), ("min_free_kbytes", ""), ("lowmem_reserve_ratio", "x") })
        {
            machine.Invoking(m => m.Sysctl.Set(name, text)).Should().Throw<ArgumentException>();
        }

        machine.StateText().Should().Be(before);
    }

    /// <summary>A machine in which an unmovable request has to mix page blocks.</summary>
    private Machine MovableBlocksOnly()
    {
        Machine machine = Boot(TestMachines.With().FreeBlocks(order: 3, count: 4, MigrateType.Movable));
        machine.Sysctl.Set("min_free_kbytes", "1024");
        return machine;
    }
}
