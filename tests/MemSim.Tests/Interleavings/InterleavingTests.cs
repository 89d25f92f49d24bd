using FluentAssertions;
using MemSim.Hardware;
using Xunit;

namespace MemSim.Tests.Interleavings;

/// <summary>
/// CPUs that run in parallel, one at a time, in every order that a bound allows: after each run the machine verifies itself and what came out is compared with what must have.
/// </summary>
/// <remarks>
/// <c>MEMSIM_SCHEDULES</c> runs so many schedules of each scenario instead, <c>MEMSIM_SCHEDULE_SEED</c> begins with another seed, <c>MEMSIM_SCENARIO</c> takes only those that have this in
/// their name; <c>MEMSIM_SCHEDULE</c> runs one schedule again, as a failure prints it. See <c>docs/reliability.md</c>.
/// </remarks>
public sealed class InterleavingTests(ITestOutputHelper output)
{
    private const int InEachRun = 120;
    private const int OfProcessesInEachRun = 25;
    private const int DrawnInEachRun = 15;
    private const int MostPreemptions = 2;
    private const int DrawnForMutants = 40;
    private const int MostForMutants = 200;

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
            exploration.Systematic(1, ProcessScenarios.All.Any(s => s.Name == name) ? OfProcessesInEachRun : InEachRun);
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

    [Theory]
    [InlineData("PerCpuPages.Lock", "page lists and a drain of all")]
    [InlineData("PerCpuPages.Lock", "page lists on three CPUs")]
    [InlineData("Zone.Lock", "page blocks stolen from another type")]
    [InlineData("SlabPage.LockWord", "slab: two CPUs free into one slab")]
    [InlineData("SlubNode.Lock", "slab: slabs of a node emptied here and taken there")]
    [InlineData("ClassicNode.Lock", "classic slab: a shared array drained here and taken from there")]
    [InlineData("CpuMmu._inside", "munmap against writes of another CPU")]
    [InlineData("CpuMmu._inside", "mprotect against writes of another CPU")]
    [InlineData("CpuMmu._inside", "reclaim against faults")]
    [InlineData("OwnersLock._lock", "two first faults on one page")]
    [InlineData("OwnersLock._lock", "reclaim against faults of two CPUs")]
    [InlineData("OwnersLock._lock", "swap-in against swap-in")]
    [InlineData("PerCpuAllocator._lock", "per-CPU memory")]
    [InlineData("VmallocAllocator._lock", "vmalloc and a purge")]
    [InlineData("PageTables._lock", "vmap: two areas whose pages need the same new table")]
    [InlineData("LruVec._lock", "LRU: a page put back here is isolated there")]
    [InlineData("CpuLruBatches._lock", "LRU: a batch that is filled here is drained there")]
    [InlineData("SwapSpace._lock", "two swap areas switched on at once")]
    public void A_lock_that_excludes_nobody_is_found_and_the_schedule_that_found_it_finds_it_again(string removed, string name)
    {
        using Exploration exploration = new(Find(name), removed);
        exploration.Drawn(1, DrawnForMutants);
        exploration.Systematic(1, MostForMutants);
        exploration.Failure.Should().NotBeNull();
        output.WriteLine($"{removed} | {name} | {exploration.Schedules} | {exploration.Failure!.Split('\n')[1]}");

        using Exploration again = new(Find(name), removed);
        again.Replay(Schedule.Parse(Schedule.ToText(exploration.FailedSchedule)));
        again.Failure.Should().NotBeNull();
        again.Failure!.Split('\n')[1].Should().Be(exploration.Failure!.Split('\n')[1], "the same choices give the same run");
    }

    [Fact]
    public void Two_locks_taken_in_both_orders_are_a_deadlock_under_some_schedule_and_under_others_not()
    {
        using CpuThreads threads = new(TimeSpan.FromMinutes(1));
        static void Both(IWatchedLock first, IWatchedLock second)
        {
            first.Enter();
            second.Enter();
            second.Exit();
            first.Exit();
        }

        Exception? Under(string schedule)
        {
            CpuScheduler scheduler = new(threads);
            (IWatchedLock one, IWatchedLock other) = (scheduler.Watch("one"), scheduler.Watch("other"));
            scheduler.Run([() => Both(one, other), () => Both(other, one)], new Following(Schedule.Parse(schedule)));
            return scheduler.Failure;
        }

        Under("none").Should().BeNull();
        Under("2>1").Should().BeOfType<DeadlockException>().Which.Message.Should().Be("CPU 0 waits for other, which CPU 1 has, CPU 1 waits for one, which CPU 0 has");
    }

    [Fact]
    public void An_update_without_a_lock_is_lost_under_exactly_the_schedules_that_stop_a_cpu_between_its_two_halves()
    {
        using CpuThreads threads = new(TimeSpan.FromMinutes(1));
        List<int> outcomes = [];
        for (int at = 0; at < 3; at++)
        {
            CpuScheduler scheduler = new(threads);
            int value = 0;
            void Add()
            {
                scheduler.Pass("before");
                int seen = value;
                scheduler.Pass("between");
                value = seen + 1;
            }

            scheduler.Run([Add, Add], new Following(at == 0 ? [] : [new Deviation(at, 1)]));
            outcomes.Add(value);
        }

        outcomes.Should().Equal(2, 2, 1);
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
