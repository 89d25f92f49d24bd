using System.Text.Json;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

public class ScenarioTests(RecordingsFixture recordings)
{
    private const string Small = """
        { "description": "small", "machine": { "memory": "256M" },
          "phases": [ { "name": "only", "processes": [ { "name": "p", "steps": [ { "do": "anonymous", "size": "1M" }, { "do": "random", "touches": 500 } ] } ] } ] }
        """;

    [Fact]
    public void Without_a_name_the_scenarios_are_listed()
    {
        ToolRun run = ToolRun.Of("scenario");
        run.ExitCode.Should().Be(0);
        run.Out.Should().ContainAll("fork-server", "file-server", "memory-hog", "fragmentation");
        ToolRun.Of("scenario", "--json").Json().GetProperty("scenarios").GetArrayLength().Should().Be(7);
    }

    [Theory]
    [InlineData("fork-server", "copy on write")]
    [InlineData("file-server", "archive|backup")]
    [InlineData("memory-hog", "Killed process")]
    [InlineData("fragmentation", "wants 2M")]
    [InlineData("pod-reads-file", "cgroup /pod: peak 131072 pages; low 0 high 0 max [1-9]")]
    [InlineData("two-services", "cgroup /web: peak")]
    [InlineData("zswap-first", "zswap")]
    public void A_scenario_of_the_tool_runs(string name, string words)
    {
        ToolRun run = ToolRun.Of("scenario", name);
        run.ExitCode.Should().Be(0, run.Error);
        run.Out.Should().MatchRegex(words).And.Contain("faults: ").And.Contain("\nafter ");
        run.Error.Should().BeEmpty();
    }

    [Fact]
    public void A_file_is_run_and_the_seed_decides()
    {
        string file = Path.Combine(recordings.EmptyFolder(), "small.json");
        File.WriteAllText(file, Small);
        ToolRun first = ToolRun.Of("scenario", file, "--json");
        first.ExitCode.Should().Be(0, first.Error);
        JsonElement report = first.Json().GetProperty("report");
        report.GetProperty("seed").GetUInt64().Should().Be(1);
        report.GetProperty("processes")[0].GetProperty("touches").GetInt64().Should().Be(500);
        report.GetProperty("samples").GetArrayLength().Should().BeGreaterThan(10);
        report.GetProperty("faults").GetProperty("zero_filled").GetInt64().Should().BeInRange(150, 256);
        ToolRun.Of("scenario", file, "--json").Out.Should().Be(first.Out);
        ToolRun.Of("scenario", file, "--json", "--seed", "2").Out.Should().NotBe(first.Out);
    }

    [Fact]
    public void Bad_scenarios_are_refused()
    {
        string file = Path.Combine(recordings.EmptyFolder(), "bad.json");
        File.WriteAllText(file, "{\n \"phases\": 3 }");
        ToolRun.Of("scenario", file).ShouldBeRefused("bad.json(2): 'phases' is not an array");
        ToolRun.Of("scenario", "no-such").ShouldBeRefused("neither a file nor one of");
        ToolRun.Of("scenario", "no-such.json").ShouldBeRefused("no such file");
        File.WriteAllText(file, Small.Replace("\"memory\": \"256M\"", "\"memory\": \"256M\", \"sysctl\": { \"vm.panic_on_oom\": \"2\", \"vm.overcommit_memory\": \"1\" }", StringComparison.Ordinal).Replace("\"1M\" }, { \"do\": \"random\", \"touches\": 500", "\"1G\" }, { \"do\": \"sequential\"", StringComparison.Ordinal));
        ToolRun.Of("scenario", file).ShouldBeRefused("panic_on_oom is enabled");
    }
}
