using FluentAssertions;
using MemSim.Scenarios;
using MemSim.Tests.Oom;
using Xunit;

namespace MemSim.Tests.Scenarios;

public sealed class ScenarioTests : IDisposable
{
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));

    public ScenarioTests() => _machine.Reclaim.Policy = new OomOnly(_machine);

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void Touching_fresh_memory_page_by_page_costs_a_fault_a_page()
    {
        ScenarioReport report = Scenario.On(_machine).Process("one", p => p.Anonymous("4M").Sequential().Sequential()).Run();
        report.Faults.ZeroFilled.Should().Be(1024);
        report.Last.Faults.Should().Be(1024);
        report.Last.Touches.Should().Be(2048);
        report.Last.Cycles.Should().BePositive();
        report.Last.TlbMisses.Should().BePositive();
        report.Processes.Should().ContainSingle().Which.Ended.Should().Be("done");
        report.Samples.Max(s => s.AnonPages).Should().BeInRange(900, 1024);
        report.Last.AnonPages.Should().Be(0);
        _machine.Verify();
    }

    [Fact]
    public void Reading_fresh_memory_maps_the_page_of_zeros()
    {
        ScenarioReport report = Scenario.On(_machine).Process("reader", p => p.Anonymous("4M").Sequential().WriteShare(0)).Run();
        report.Faults.ZeroPage.Should().Be(1024);
        report.Samples.Max(s => s.AnonPages).Should().Be(0);
    }

    [Fact]
    public void A_fork_tree_shares_its_memory_until_somebody_writes()
    {
        ScenarioReport report = Scenario.On(_machine).ForkTree(depth: 3, fanOut: 2, size: "1M").Run();
        ScenarioProcess process = report.Processes.Single();
        process.Children.Should().Be(14);
        process.ChildrenKilled.Should().Be(0);
        process.Touches.Should().Be(15 * 256);
        report.Faults.ZeroFilled.Should().Be(256);
        report.Faults.CopyOnWrite.Should().Be(14 * 256);
        report.Samples.Max(s => s.Processes).Should().BeGreaterThan(8);
        _machine.Processes.Should().BeEmpty();
        _machine.Verify();
    }

    [Fact]
    public void A_stack_grows_as_it_is_touched()
    {
        ScenarioReport report = Scenario.On(_machine).Process("recursive", p => p.Stack("1M").StackLike(20_000)).Run();
        report.Processes[0].Ended.Should().Be("done");
        report.Faults.ZeroFilled.Should().BeInRange(5, 256);
    }

    [Fact]
    public void A_file_read_twice_is_read_from_its_disk_once()
    {
        ScenarioReport report = Scenario.On(_machine).File("data", "4M").Process("reader", p => p.ReadFile("data", "64K", times: 2)).Run();
        report.Last.FilePages.Should().Be(1024);
        report.Last.Touches.Should().Be(128);
        _machine.Nodes[0].Counters.FilePages.Should().Be(0, "the scenario's files are gone");
        _machine.Verify();
    }

    [Fact]
    public void A_mapped_file_faults_with_fault_around_and_its_private_copies_are_copied()
    {
        ScenarioReport report = Scenario.On(_machine).File("data", "4M")
            .Process("shared", p => p.MapFile("data").Sequential().WriteShare(0))
            .Then("private").Process("private", p => p.MapFile("data", shared: false).Sequential())
            .Run();
        report.Faults.File.Should().BeInRange(1, 1024 / 8, "a fault maps what lies around in the cache");
        report.Faults.FileMajor.Should().BePositive();
        report.Faults.CopyOnWrite.Should().Be(1024);
        report.Processes.Should().OnlyContain(p => p.Ended == "done");
        _machine.Verify();
    }

    [Fact]
    public void Shared_memory_is_one_for_parent_and_children()
    {
        ScenarioReport report = Scenario.On(_machine).Process("shm", p => p.SharedMemory("1M").Sequential().ForkTree(1, 3)).Run();
        report.Processes[0].Ended.Should().Be("done");
        report.Faults.CopyOnWrite.Should().Be(0);
        report.Samples.Max(s => s.FilePages).Should().Be(256);
        _machine.Verify();
    }

    [Fact]
    public void Kernel_pages_kept_at_random_make_large_blocks_scarce()
    {
        ScenarioReport report = Scenario.On(_machine).Phase("calm").Process("tries", p => p.TryBlocks(20, 9))
            .Then("fragment").Process("driver", p => p.KernelPages(48_000, keep: 0.05))
            .Then("after").Process("tries again", p => p.TryBlocks(20, 9))
            .Run();
        report.Processes[0].Failures.Should().Be(0);
        report.Processes[2].Failures.Should().BePositive();
        report.Samples.Max(s => s.UnusableForOrder9).Should().BeGreaterThan(500);
        _machine.Verify();
    }

    [Fact]
    public void The_oom_killer_ends_the_hog_and_the_scenario_goes_on()
    {
        _machine.Sysctl.Set("vm.overcommit_memory", "1");
        ScenarioReport report = Scenario.On(_machine)
            .Process("hog", p => p.Anonymous("512M").Sequential())
            .Process("modest", p => p.Anonymous("8M").Zipf(1.1, 100_000).WriteShare(0.5))
            .Run();
        report.Processes[0].Ended.Should().Be("SIGKILL");
        report.Processes[1].Ended.Should().Be("done");
        report.Last.OomKills.Should().Be(1);
        report.OomReports.Should().ContainSingle().Which.Should().Contain("Killed process").And.Contain("(hog)");
        _machine.Verify();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Memory_overcommitted_three_times_ends_with_everything_given_back(ulong seed)
    {
        ScenarioFile file = ScenarioFile.Parse("""
            {
              "machine": { "memory": "256M", "cpus": 2, "swap": "64M", "sysctl": { "vm.overcommit_memory": "1" } },
              "files": [ { "name": "data", "size": "96M" } ],
              "phases": [ { "processes": [
                { "name": "hog", "count": 8, "steps": [ { "do": "anonymous", "size": "80M" }, { "do": "random", "touches": 20000, "write": 0.7 }, { "do": "fork_tree", "depth": 2, "fan_out": 2 } ] },
                { "name": "shm", "steps": [ { "do": "shared_memory", "size": "32M" }, { "do": "sequential", "touches": 20000 } ] },
                { "name": "mapper", "count": 2, "steps": [ { "do": "map_file", "file": "data" }, { "do": "random", "touches": 20000, "write": 0.2 } ] },
                { "name": "reader", "steps": [ { "do": "read_file", "file": "data" }, { "do": "write_file", "file": "data" } ] },
                { "name": "locked", "oom_score_adj": -1000, "steps": [ { "do": "anonymous", "size": "8M" }, { "do": "lock" }, { "do": "random", "touches": 20000 } ] } ] } ]
            }
            """u8, "pressure");
        using Machine machine = file.Boot();
        ScenarioReport report = file.On(machine).Seed(seed).Run();
        report.Last.OomKills.Should().BePositive();
        report.Last.SwappedOut.Should().BePositive();
        report.Processes.Single(p => p.Name == "locked").Ended.Should().Be("done");
        report.Last.AnonPages.Should().Be(0);
        report.Last.SwapUsedPages.Should().Be(0);
        machine.Processes.Should().BeEmpty();
        machine.Verify();
    }

    [Fact]
    public void The_same_seed_gives_the_same_report_and_another_one_another()
    {
        ScenarioReport Run(ulong seed)
        {
            using var machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));
            return Scenario.On(machine).Seed(seed)
                .Process("a", p => p.Anonymous("8M").Zipf(1.1, 20_000).WriteShare(0.3).ForkTree(2, 2), count: 2)
                .Process("b", p => p.Anonymous("8M").HotCold(0.1, 0.9, 20_000))
                .Run();
        }

        ScenarioReport first = Run(1);
        first.ToText().Should().Be(Run(1).ToText());
        first.ToText().Should().NotBe(Run(2).ToText());
    }

    [Fact]
    public void Whoever_is_told_of_progress_can_stop_the_scenario()
    {
        Scenario scenario = Scenario.On(_machine).Process("long", p => p.Anonymous("8M").Random(1_000_000).ForkTree(2, 2));
        Action run = () => scenario.Run(new StopAt(10_000));
        run.Should().Throw<OperationCanceledException>();
        _machine.Processes.Should().BeEmpty();
        _machine.Verify();
        scenario.Invoking(s => s.Run()).Should().Throw<InvalidOperationException>().WithMessage("*runs once*");
    }

    [Fact]
    public void Who_stays_keeps_its_memory_to_the_end()
    {
        ScenarioReport report = Scenario.On(_machine)
            .Process("resident", p => p.Anonymous("4M").Sequential().Stay())
            .Then("next").Process("other", p => p.Anonymous("1M").Sequential())
            .Run();
        report.Samples.Last(s => s.Phase == "next").AnonPages.Should().Be(1024);
        report.Processes[0].Ended.Should().Be("done");
        report.Last.AnonPages.Should().Be(0);
    }

    [Fact]
    public void Descriptions_that_make_no_sense_are_refused()
    {
        Scenario scenario = Scenario.On(_machine).File("data", "1M");
        scenario.Invoking(s => s.Process("p", p => p.Zipf(1))).Should().Throw<InvalidOperationException>().WithMessage("*no region*");
        scenario.Invoking(s => s.Process("p", p => p.Anonymous("1M").Zipf(0))).Should().Throw<ArgumentOutOfRangeException>();
        scenario.Invoking(s => s.Process("p", p => p.Anonymous("1M").WriteShare(0.5))).Should().Throw<InvalidOperationException>();
        scenario.Invoking(s => s.Process("p", p => p.OnCpu(2))).Should().Throw<ArgumentException>().WithMessage("*no CPU 2*");
        scenario.Invoking(s => s.File("data", "1M")).Should().Throw<ArgumentException>();
        scenario.Process("p", p => p.ReadFile("nothing")).Invoking(s => s.Run()).Should().Throw<ArgumentException>().WithMessage("*'nothing'*");
    }

    private sealed class StopAt(long touches) : IProgress<long>
    {
        public void Report(long value)
        {
            if (value >= touches)
            {
                throw new OperationCanceledException();
            }
        }
    }

    [Fact]
    public void A_slow_disk_makes_the_same_reads_take_longer()
    {
        TimeSpan Time(BlockDeviceCosts costs)
        {
            using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
            Scenario.On(machine).Disk(costs).File("data", "1M").Process("reader", p => p.ReadFile("data", "64K")).Run();
            return machine.Uptime;
        }

        Time(BlockDeviceCosts.Rotating).Should().BeGreaterThan(Time(BlockDeviceCosts.SolidState));
    }

    [Fact]
    public void How_long_a_turn_is_decides_whose_pages_lie_side_by_side()
    {
        long Switches(int touches) => Scenario.On(_machine).Interleave(touches).Process("a", p => p.Anonymous("1M").Sequential()).Process("b", p => p.Anonymous("1M").Sequential()).Run().Last.Touches;

        Switches(1).Should().Be(Switches(1000), "turns change the order, not the work");
        Scenario.On(_machine).Invoking(s => s.Interleave(0)).Should().Throw<ArgumentOutOfRangeException>();
    }
}
