using FluentAssertions;
using MemSim.Scenarios;
using Xunit;

namespace MemSim.Tests.Scenarios;

/// <summary>Scenarios whose processes are in cgroups.</summary>
public class CgroupScenarioTests
{
    [Fact]
    public void A_cgroup_keeps_to_its_limit_is_sampled_and_gone_afterwards()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        machine.Reclaim.Enable();
        ScenarioReport report = Scenario.On(machine)
            .File("data", "64M")
            .Cgroup("/pod", ("memory.max", "16M"))
            .Process("reader", p => p.ReadFile("data").InCgroup("/pod"))
            .Process("free", p => p.ReadFile("data"))
            .Run();

        report.Cgroups.Should().ContainSingle().Which.Should().Match<ScenarioCgroup>(c => c.Path == "/pod" && c.PeakPages <= 4096 && c.PeakPages > 4000);
        report.Cgroups[0].Events.Should().Contain("max ").And.NotContain("max 0");
        report.Samples.Should().OnlyContain(s => s.Cgroups.Count == 1 && s.Cgroups[0].Pages <= 4096 && s.Cgroups[0].SwapPages == 0);
        machine.Cgroups.Find("/pod").Should().BeNull();
        report.ToText().Should().Contain("cgroup /pod: peak ");
        machine.Verify();
    }

    [Fact]
    public void A_cgroup_that_is_not_described_is_refused()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Action run = () => Scenario.On(machine).Process("lost", p => p.Anonymous("1M").InCgroup("/nowhere")).Run();
        run.Should().Throw<ArgumentException>().WithMessage("*/nowhere*");
        Action twice = () => Scenario.On(machine).Cgroup("/pod").Cgroup("/pod");
        twice.Should().Throw<ArgumentException>();
        Action limit = () => Scenario.On(machine).Cgroup("/pod", ("memory.max", "much")).Process("one", p => p.Anonymous("1M").InCgroup("/pod")).Run();
        limit.Should().Throw<InvalidOperationException>().WithMessage("*refuses 'much'*");
        machine.Cgroups.Find("/pod").Should().BeNull();
    }
}
