using System.Text;
using FluentAssertions;
using MemSim.Scenarios;
using Xunit;

namespace MemSim.Tests.Scenarios;

public class ScenarioFileTests
{
    [Fact]
    public void A_file_describes_the_same_scenario_as_the_calls()
    {
        ScenarioFile file = Parse("""
            {
              "description": "all steps",
              "machine": { "arch": "x86_64", "memory": "256M", "cpus": 2, "sysctl": { "vm.swappiness": "10" } },
              "seed": 5,
              "samples": 4,
              "files": [ { "name": "data", "size": "1M" } ],
              "phases": [
                { "name": "one", "processes": [
                  { "name": "a", "count": 2, "oom_score_adj": 100, "steps": [
                    { "do": "anonymous", "size": "2M" },
                    { "do": "zipf", "s": 1.1, "touches": 2000, "write": 0.3 },
                    { "do": "fork_tree", "depth": 2, "fan_out": 2 } ] } ] },
                { "name": "two", "processes": [
                  { "name": "b", "cpu": 1, "steps": [
                    { "do": "map_file", "file": "data", "shared": false },
                    { "do": "hot_cold", "hot_part": 0.2, "hot_share": 0.8 },
                    { "do": "lock" },
                    { "do": "unmap" },
                    { "do": "read_file", "file": "data", "chunk": "16K", "times": 2 },
                    { "do": "write_file", "file": "data" },
                    { "do": "shared_memory", "size": "64K" },
                    { "do": "sequential", "stride": 3 },
                    { "do": "stack", "size": "64K" },
                    { "do": "stack_like", "touches": 100 },
                    { "do": "kernel_pages", "blocks": 10, "order": 1, "keep": 0.5 },
                    { "do": "try_blocks", "blocks": 2, "order": 3 },
                    { "do": "stay" } ] } ] } ]
            }
            """);
        file.Description.Should().Be("all steps");
        using Machine machine = file.Boot();
        machine.Sysctl.Get("vm.swappiness").Should().Be("10");
        ScenarioReport report = file.On(machine).Run();

        using Machine other = file.Boot();
        ScenarioReport calls = Scenario.On(other).Seed(5).Samples(4).File("data", "1M").Phase("one")
            .Process("a", p => p.OomScoreAdj(100).Anonymous("2M").Zipf(1.1, 2000).WriteShare(0.3).ForkTree(2, 2), count: 2)
            .Then("two")
            .Process("b", p => p.OnCpu(1).MapFile("data", shared: false).HotCold(0.2, 0.8).Lock().Unmap().ReadFile("data", "16K", 2).WriteFile("data")
                .SharedMemory("64K").Sequential(stride: 3).Stack("64K").StackLike(100).KernelPages(10, 1, 0.5).TryBlocks(2, 3).Stay())
            .Run();
        report.ToText().Should().Be(calls.ToText());
        report.Processes.Should().OnlyContain(p => p.Ended == "done" && p.Failures == 0);
        machine.Verify();
    }

    [Theory]
    [InlineData("{", 1, "no valid JSON")]
    [InlineData("{ \"phases\": [] }", 0, "needs phases")]
    [InlineData("{\n\"phase\": 1 }", 2, "no 'phase'")]
    [InlineData("{\n\n\"machine\": { \"arch\": \"vax\" } }", 3, "no architecture 'vax'")]
    [InlineData("{ \"machine\": { \"memory\": \"lots\" } }", 1, "'lots' is not an amount")]
    [InlineData("{ \"machine\": { \"cpus\": 0 } }", 1, "not from 1")]
    [InlineData("{ \"files\": [ { \"name\": \"x\" } ] }", 1, "a name and a size")]
    [InlineData("{ \"phases\": [ { \"processes\": [ { \"steps\": [] } ] } ] }", 1, "needs a name")]
    public void What_is_wrong_is_said_with_its_line(string json, int line, string reason)
    {
        InputFileException fault = ((Action)(() => Parse(json))).Should().Throw<InputFileException>().Which;
        fault.Line.Should().Be(line);
        fault.Message.Should().Contain(reason);
    }

    [Theory]
    [InlineData("""{ "size": "1M" }""", "needs a 'do'")]
    [InlineData("""{ "do": "fly" }""", "no step 'fly'")]
    [InlineData("""{ "do": "anonymous" }""", "needs 'size'")]
    [InlineData("""{ "do": "anonymous", "size": "1M", "touches": 3 }""", "has no 'touches'")]
    [InlineData("""{ "do": "anonymous", "size": "0" }""", "'anonymous' in line 3")]
    [InlineData("""{ "do": "random" }""", "no region")]
    [InlineData("""{ "do": "zipf", "s": -1 }""", "not from 0 to 10")]
    [InlineData("""{ "do": "fork_tree", "depth": 20, "fan_out": 1000 }""", "too large")]
    [InlineData("""{ "do": "map_file", "file": "x", "shared": 1 }""", "neither true nor false")]
    public void A_wrong_step_is_refused(string step, string reason)
    {
        string json = "{ \"phases\": [ {\n\"processes\": [ { \"name\": \"p\", \"steps\": [\n" + step + " ] } ] } ] }";
        ((Action)(() => Parse(json))).Should().Throw<InputFileException>().WithMessage($"test(3): *{reason}*");
    }

    [Fact]
    public void What_contradicts_the_machine_is_refused_when_it_boots()
    {
        const string phases = "\"phases\": [ { \"processes\": [ { \"name\": \"p\", \"cpu\": 3, \"steps\": [ { \"do\": \"read_file\", \"file\": \"none\" } ] } ] } ] }";
        ((Action)(() => Parse("{ \"machine\": { \"memory\": \"1M\" }, " + phases).Boot())).Should().Throw<InputFileException>().WithMessage("*the machine*");
        ((Action)(() => Parse("{ \"machine\": {\n\"sysctl\": { \"vm.swappiness\": \"x\" } }, " + phases).Boot())).Should().Throw<InputFileException>().WithMessage("test(2)*");
        ((Action)(() => Parse("{ " + phases).Run())).Should().Throw<InputFileException>().WithMessage("*'none'*");
        ((Action)(() => Parse("{ \"files\": [ { \"name\": \"none\", \"size\": \"1M\" } ], " + phases).Run())).Should().Throw<InputFileException>().WithMessage("*no CPU 3*");
    }

    private static ScenarioFile Parse(string json) => ScenarioFile.Parse(Encoding.UTF8.GetBytes(json), "test");
}
