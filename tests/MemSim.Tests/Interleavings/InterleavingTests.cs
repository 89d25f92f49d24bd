using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Interleavings;

/// <summary>
/// CPUs that run in parallel, one at a time, in every order that a bound allows: after each run the machine verifies itself and what came out is compared with what must have.
/// </summary>
/// <remarks>
/// <c>MEMSIM_SCHEDULES</c> runs so many schedules of each scenario instead, <c>MEMSIM_SCHEDULE_SEED</c> begins with another seed; <c>MEMSIM_SCHEDULE</c> runs one again, as a failure prints it
/// (with <c>-method</c> and the scenario's name in <c>MEMSIM_SCENARIO</c>). See <c>docs/reliability.md</c>.
/// </remarks>
public sealed class InterleavingTests(ITestOutputHelper output)
{
    private const int InEachRun = 60;
    private const int DrawnInEachRun = 40;
    private const int MostPreemptions = 2;

    private static readonly Scenario[] Scenarios = [.. MemoryScenarios.All, .. ProcessScenarios.All];

    public static TheoryData<string> Names => [.. Scenarios.Select(s => s.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Whatever_the_order_nothing_is_lost_and_nothing_is_wrong(string name)
    {
        string? wanted = Environment.GetEnvironmentVariable("MEMSIM_SCENARIO");
        Assert.SkipWhen(wanted is not null && !name.Contains(wanted, StringComparison.Ordinal), "another scenario is wanted");
        using Exploration exploration = new(Find(name));
        if (Environment.GetEnvironmentVariable("MEMSIM_SCHEDULE") is { } schedule)
        {
            exploration.Replay(Schedule.Parse(schedule));
            exploration.Failure.Should().BeNull();
            return;
        }

        long schedules = Number("MEMSIM_SCHEDULES", 0);
        int seed = (int)Number("MEMSIM_SCHEDULE_SEED", 1);
        long start = Environment.TickCount64;
        int bound = 0;
        if (schedules == 0)
        {
            exploration.Systematic(1, InEachRun);
            exploration.Drawn(seed, DrawnInEachRun);
        }
        else
        {
            // Half of them systematically, as far as bounds go, the rest drawn.
            while (bound < MostPreemptions && exploration.Systematic(bound + 1, schedules / 2))
            {
                bound++;
            }

            exploration.Drawn(seed, (int)Math.Max(0, schedules - exploration.Schedules));
        }

        output.WriteLine($"{name} | {exploration.Schedules} | {exploration.Places} | {bound} | {(Environment.TickCount64 - start) / 1000.0:0.0} s | {string.Join(' ', exploration.Taken.Order())}");
        exploration.Failure.Should().BeNull();
    }

    /// <summary>Which locks which scenarios need: with <c>MEMSIM_MUTANTS</c> schedules of each, every lock is left out once in every scenario that takes it.</summary>
    [Fact]
    public void Locks_left_out_one_by_one()
    {
        int schedules = (int)Number("MEMSIM_MUTANTS", 0);
        Assert.SkipWhen(schedules == 0, "only on demand");
        foreach (Scenario scenario in Scenarios)
        {
            using Exploration whole = new(scenario);
            whole.Drawn(1, 20);
            foreach (string removed in whole.Taken.Order())
            {
                output.WriteLine($"{scenario.Name} without {removed} ...");
                using Exploration mutant = new(scenario, removed);
                mutant.Drawn(1, schedules / 2);
                mutant.Systematic(1, schedules / 2);
                output.WriteLine($"= {scenario.Name} | {removed} | {(mutant.Failure is { } found ? $"{mutant.Schedules} | {found.Split('\n')[1]}" : "not found |")}");
            }
        }
    }

    private static Scenario Find(string name) => Array.Find(Scenarios, s => s.Name == name)!;

    private static long Number(string variable, long usual) =>
        long.TryParse(Environment.GetEnvironmentVariable(variable), out long number) ? number : usual;
}
