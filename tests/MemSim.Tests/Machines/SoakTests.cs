using FluentAssertions;
using MemSim.Soak;
using Xunit;

namespace MemSim.Tests.Machines;

/// <summary>Everything at once against a naive model (<c>tests/MemSim.Soak</c>), as much of it as a run of the tests can wait for.</summary>
public sealed class SoakTests
{
    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(16)]
    [InlineData(31)]
    [InlineData(47)]
    public void The_machine_does_what_the_model_does(int seed)
    {
        SoakTally tally = new();

        SoakRun.Run((ulong)seed, 3000, tally).Should().BeNull();

        (tally.Steps, tally.Machines).Should().Be((3000, 1));
        tally.Verified.Should().BeGreaterThan(2);
    }

    [Theory]
    [InlineData(6, 6000)]
    [InlineData(45, 3000)]
    [InlineData(49, 3000)]
    [InlineData(249, 3000)]
    [InlineData(529, 3000)]
    [InlineData(924, 3000)]
    [InlineData(964, 3000)]
    [InlineData(1139, 3000)]
    public void Seeds_that_found_something_find_nothing_any_more(int seed, int steps) => SoakRun.Run((ulong)seed, steps, new SoakTally()).Should().BeNull();

    [Fact]
    public void A_page_overwritten_behind_the_models_back_is_found_and_the_run_made_short()
    {
        Step[] steps = [.. Step.Of(3, 400), new Step(StepKind.AllocPages, 0, 5, 0), new Step(StepKind.Spoil, 0, 0, 0), .. Step.Of(4, 50), new Step(StepKind.Vfree, 0, 0, 0)];

        string? wrong = SoakRun.Run(3, steps, new SoakTally());

        wrong.Should().Contain("was overwritten");
        int.Parse(wrong!.Split('\n').First(line => line.EndsWith("steps are enough:", StringComparison.Ordinal)).Split(' ')[0]).Should().BeLessThan(6);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(20)]
    public void Pages_objects_and_areas_by_the_hundred_thousand_are_nobody_elses(int seed)
    {
        using LongRun run = new((ulong)seed);

        run.Run(300_000);

        (run.Operations, run.Verified).Should().Be((300_000, 2));
        run.MostAlive.Should().BeGreaterThan(1000);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(21)]
    public void Processes_read_what_they_wrote_last_through_forks_swap_and_huge_pages(int seed)
    {
        using LongProcessRun run = new((ulong)seed);

        run.Run(150_000);

        run.Forks.Should().BePositive();
        run.Verified.Should().BePositive();
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Processes_in_a_tree_of_cgroups_read_what_they_wrote_last_while_ksmd_merges_and_reclaim_changes_its_engine(int seed)
    {
        using LongProcessRun run = new((ulong)seed, pressed: true);

        run.Run(60_000);

        run.Forks.Should().BePositive();
        run.Verified.Should().BeGreaterThan(1);
        run.Pressure.Should().MatchRegex("[1-9][0-9]* changes of engine, up to [1-9][0-9]* pages merged");
    }

    [Fact]
    public void What_is_overwritten_in_a_long_run_is_found()
    {
        using LongRun run = new(2) { SpoilsAt = 50_000 };
        using LongProcessRun processes = new(2) { SpoilsAt = 50_000 };
        using LongProcessRun pressed = new(2, pressed: true) { SpoilsAt = 20_000 };

        FluentActions.Invoking(() => run.Run(300_000)).Should().Throw<InvalidOperationException>().WithMessage("*overwritten*");
        FluentActions.Invoking(() => pressed.Run(60_000)).Should().Throw<InvalidOperationException>().WithMessage("*reads ffffffffffffffff*");
        FluentActions.Invoking(() => processes.Run(150_000)).Should().Throw<InvalidOperationException>().WithMessage("*reads ffffffffffffffff*");
    }
}
