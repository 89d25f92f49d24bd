using System.Diagnostics;
using System.Reflection;
using FluentAssertions;
using MemSim.Scenarios;
using Xunit;

namespace MemSim.Tests.Scenarios;

/// <summary>Runs alone: these runs take long enough for the collections of other tests to charge this thread for what it did not allocate.</summary>
[CollectionDefinition(nameof(ScenarioGarbageTests), DisableParallelization = true)]
[Collection(nameof(ScenarioGarbageTests))]
public sealed class ScenarioGarbageTests
{
    [Fact]
    public void A_touch_costs_no_managed_bytes()
    {
        bool optimized = typeof(Machine).Assembly.GetCustomAttribute<DebuggableAttribute>() is not { IsJITOptimizerDisabled: true };
        Assert.SkipUnless(optimized, "only optimized code keeps short-lived objects off the heap");
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));
        void Run(long touches) => Scenario.On(machine).Samples(0)
            .Process("zipf", p => p.Anonymous("8M").Zipf(1.1, touches).WriteShare(0.5))
            .Process("stack", p => p.Stack("1M").StackLike(touches))
            .Process("random", p => p.Anonymous("8M").Random(touches))
            .Run();
        Run(20_000);
        long few = ManagedBytes.TakenBy(() => Run(2_000));
        long many = ManagedBytes.TakenBy(() => Run(22_000));
        (many - few).Should().BeLessThan(8_192, "60,000 touches and thousands of faults more");
    }
}
