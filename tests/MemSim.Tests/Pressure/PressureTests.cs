using System.Globalization;
using FluentAssertions;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Pressure;

/// <summary>Long random programs on machines far too small for them: nothing is lost, nothing mixed up, everything accounted for.</summary>
public class PressureTests(ITestOutputHelper output)
{
    /// <summary>Steps of all runs together; <c>MEMSIM_PRESSURE_STEPS</c> asks for more.</summary>
    private static int Steps => int.TryParse(Environment.GetEnvironmentVariable("MEMSIM_PRESSURE_STEPS"), CultureInfo.InvariantCulture, out int steps) ? Math.Clamp(steps, 1000, 1_000_000_000) : 200_000;

    [Theory]
    [InlineData("x86_64", 0.2)]
    [InlineData("huge pages", 0.2)]
    [InlineData("highmem", 0.2)]
    [InlineData("nodes", 0.2)]
    [InlineData("arm64", 0.2)]
    public void Three_times_more_than_fits_comes_back_as_it_was_written(string machine, double share)
    {
        using PressureWorld world = new(Spec(machine), seed: 20260101 + machine.Length, hugePages: machine == "huge pages");
        world.Run((int)(Steps * share));
        world.End();
        Tell(world);
        world.Machine.Events[VmEvent.SwapOut].Should().BeGreaterThan(world.Machine.Zones.Sum(z => z.ManagedPages) / 2, "memory is overcommitted");
        world.Machine.Events[VmEvent.OomKill].Should().Be(0);
    }

    [Theory]
    [InlineData("6.12", false)]
    [InlineData("6.18", false)]
    [InlineData("7.3", false)]
    [InlineData("6.1", true)]
    [InlineData("6.12", true)]
    [InlineData("7.3", true)]
    public void By_generations_too_and_while_the_engines_change(string kernel, bool switches)
    {
        using PressureWorld world = new(Spec("x86_64").WithKernel(kernel), seed: 20261130 + kernel.Length) { SwitchesEngines = switches };
        world.Machine.Reclaim.LruGen.IsEnabled.Should().Be(kernel != "6.1");
        world.Run(Steps / 6);
        world.End();
        Tell(world);
        output.WriteLine($"{world.EngineChanges} changes of engine\n{world.Machine.Proc.LruGenFull}");
        world.Machine.Events[VmEvent.SwapOut].Should().BeGreaterThan(world.Machine.Zones.Sum(z => z.ManagedPages) / 2, "memory is overcommitted");
        world.Machine.Events[VmEvent.OomKill].Should().Be(0);
        (world.EngineChanges > 3).Should().Be(switches);
    }

    [Fact]
    public void Without_enough_swap_processes_are_killed_and_all_others_keep_what_they_wrote()
    {
        using PressureWorld world = new(Spec("x86_64"), seed: 4711, swap: 0.5);
        world.Run(Steps / 10);
        world.End();
        Tell(world);
        world.Killed.Should().BePositive();
        world.Machine.Events[VmEvent.OomKill].Should().BePositive();
    }

    [Fact]
    public void Failing_devices_cost_accesses_but_no_bytes()
    {
        using PressureWorld world = new(Spec("x86_64"), seed: 815) { DevicesFail = true };
        world.Run(Steps / 10);
        world.End();
        Tell(world);
        (world.BusErrors + world.InputErrors).Should().BePositive();
    }

    [Fact]
    public void A_disk_that_fails_to_write_costs_only_what_fsync_reports()
    {
        using PressureWorld world = new(Spec("x86_64"), seed: 1848, writesFail: true);
        world.Run(Steps / 10);
        world.End();
        Tell(world);
        output.WriteLine($"errors told {world.FileErrors.Told}, pages lost {world.FileErrors.Lost}");
        world.FileErrors.Told.Should().BePositive();
        world.FileErrors.Lost.Should().BePositive("reclaim took pages that could not be written");
    }

    internal static MachineSpec Spec(string machine) => machine switch
    {
        "highmem" => MachineSpec.X86_32("96M", cpus: 2).WithCommandLine("highmem=48M"),
        "nodes" => MachineSpec.X86_64("96M", cpus: 4).WithNodes("48M", "48M"),
        "arm64" => MachineSpec.Arm64("96M", cpus: 2).WithCommandLine("cma=16M"),
        _ => MachineSpec.X86_64("96M", cpus: 2).WithCma("pressure", "8M"),
    };

    private void Tell(PressureWorld world)
    {
        VmEvents e = world.Machine.Events;
        output.WriteLine($"pages {world.Machine.Zones.Sum(z => z.ManagedPages)}, checked {world.Checked}, killed {world.Killed}, bus errors {world.BusErrors}, input errors {world.InputErrors}, cma {world.CmaSuccesses}/{world.CmaFailures}, "
            + $"swap out {e[VmEvent.SwapOut]} in {e[VmEvent.SwapIn]}, steal kswapd {e[VmEvent.StealKswapd]} direct {e[VmEvent.StealDirect]}, compact {e[VmEvent.CompactStall]}/{e[VmEvent.CompactSuccess]}, oom {e[VmEvent.OomKill]}, uptime {world.Machine.Uptime}");
    }
}
