using FluentAssertions;
using MemSim.Zones;
using Xunit;

namespace MemSim.Tests.PageAllocation;

/// <summary>Limits of per-CPU lists that rose with the load come down again while time passes, as since 6.7.</summary>
public sealed class PcpLimitTests
{
    private const int MostAtOnce = 5;

    public static TheoryData<string> MovingLines() => ["6.12", "6.18", "7.0", "7.3"];

    [Theory]
    [MemberData(nameof(MovingLines))]
    public void Each_second_a_limit_falls_by_an_eighth_to_its_lower_bound(string kernel)
    {
        using Machine machine = Raised(kernel, out PerCpuPages pcp);
        int expected = pcp.High;
        pcp.Count.Should().BeLessThan(pcp.HighMin, "no list is to be drained here");
        List<int> seen = [];
        while (expected > pcp.HighMin)
        {
            machine.AdvanceTime(TimeSpan.FromSeconds(1));
            expected = Math.Max(expected - (expected / 8), pcp.HighMin);
            pcp.High.Should().Be(expected);
            seen.Add(expected);
        }

        seen.Should().HaveCountGreaterThan(5);
        machine.AdvanceTime(TimeSpan.FromSeconds(1));
        pcp.High.Should().Be(pcp.HighMin);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(MovingLines))]
    public void What_lies_above_the_limit_goes_back_and_never_more_than_is_drained_at_once(string kernel)
    {
        using Machine machine = Raised(kernel, out PerCpuPages pcp);
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = [.. Enumerable.Range(0, 20_000).Select(_ => cpu.AllocPage(Gfp.Kernel))];
        pages.ForEach(cpu.FreePage);
        pcp.Count.Should().BeGreaterThan(pcp.HighMin);
        int most = pcp.Batch << MostAtOnce;
        long free = pcp.Zone.TrueFreePages;

        for (int second = 0; second < 100; second++)
        {
            int count = pcp.Count;
            int high = Math.Max(Math.Max(count - most, pcp.High - (pcp.High / 8)), pcp.HighMin);
            machine.AdvanceTime(TimeSpan.FromSeconds(1));
            pcp.High.Should().Be(high);
            pcp.Count.Should().BeLessThanOrEqualTo(Math.Max(high, 0)).And.BeGreaterThanOrEqualTo(count - most - 7);
        }

        pcp.Zone.TrueFreePages.Should().BeGreaterThan(free);
        machine.Verify();
    }

    [Fact]
    public void A_long_time_at_once_is_as_many_seconds_and_stat_interval_says_how_long_one_is()
    {
        using Machine one = Raised("7.3", out PerCpuPages a);
        using Machine two = Raised("7.3", out PerCpuPages b);
        using Machine slow = Raised("7.3", out PerCpuPages c);
        slow.Sysctl.Set("stat_interval", "5");
        for (int i = 0; i < 10; i++)
        {
            one.AdvanceTime(TimeSpan.FromSeconds(0.5));
        }

        two.AdvanceTime(TimeSpan.FromSeconds(5));
        int before = c.High;
        slow.AdvanceTime(TimeSpan.FromSeconds(5));

        a.High.Should().Be(b.High);
        c.High.Should().Be(before - (before / 8)).And.BeGreaterThan(a.High);
    }

    [Theory]
    [MemberData(nameof(MovingLines))]
    public void A_limit_that_the_administrator_sets_holds_for_the_next_free_and_does_not_rise_with_time(string kernel)
    {
        using Machine machine = Raised(kernel, out PerCpuPages pcp);
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = [.. Enumerable.Range(0, 40_000).Select(_ => cpu.AllocPage(Gfp.Kernel))];
        pages[..20_000].ForEach(cpu.FreePage);
        int before = pcp.Count;
        before.Should().BeGreaterThan(4000, "the limit had risen");
        machine.Sysctl.Set("percpu_pagelist_high_fraction", "100000");
        pcp.HighMin.Should().Be(pcp.HighMax).And.BeLessThan(1000);

        // The list is longer than what is drained at once above the limit: that does not make the limit higher.
        cpu.FreePage(cpu.AllocPage(Gfp.Kernel));
        machine.AdvanceTime(TimeSpan.FromSeconds(1));
        pcp.High.Should().Be(pcp.HighMin);

        pages[20_000..].ForEach(cpu.FreePage);
        pcp.Count.Should().BeLessThanOrEqualTo(pcp.HighMin);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(MovingLines))]
    public void Lists_that_are_short_when_the_limit_is_set_grow_to_it_and_no_further(string kernel)
    {
        using Machine machine = Raised(kernel, out PerCpuPages pcp);
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = [.. Enumerable.Range(0, 5000).Select(_ => cpu.AllocPage(Gfp.Kernel))];
        machine.Memory.DrainAllPages();
        machine.Sysctl.Set("percpu_pagelist_high_fraction", "100000");
        foreach (Page page in pages)
        {
            cpu.FreePage(page);
            pcp.Count.Should().BeLessThanOrEqualTo(pcp.HighMax);
        }
    }

    [Fact]
    public void Fixed_limits_stay_and_nothing_is_drained()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("2G").WithKernel("6.1"));
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = [.. Enumerable.Range(0, 1000).Select(_ => cpu.AllocPage(Gfp.Kernel))];
        pages.ForEach(cpu.FreePage);
        PerCpuPages pcp = cpu.Lists.HomePcp;
        (int count, int high) = (pcp.Count, pcp.High);

        machine.AdvanceTime(TimeSpan.FromSeconds(60));

        (pcp.Count, pcp.High).Should().Be((count, high));
    }

    /// <summary>A machine whose first CPU's limit was raised by refills.</summary>
    private static Machine Raised(string kernel, out PerCpuPages pcp)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("2G").WithKernel(kernel));
        Cpu cpu = machine.Cpus[0];
        pcp = cpu.Lists.HomePcp;
        while (pcp.High < pcp.HighMax)
        {
            cpu.AllocPage(Gfp.Kernel);
        }

        return machine;
    }
}
