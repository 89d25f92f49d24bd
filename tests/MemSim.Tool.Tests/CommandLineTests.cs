using FluentAssertions;
using MemSim.Tool.Json;
using Xunit;

namespace MemSim.Tool.Tests;

public class CommandLineTests
{
    [Fact]
    public void No_verb_is_refused_with_a_hint() => ToolRun.Of().ShouldBeRefused("--help");

    [Theory]
    [InlineData("fly")]
    [InlineData("--json")]
    [InlineData("boot --fly")]
    [InlineData("boot --cpus many")]
    [InlineData("boot --memory")]
    [InlineData("twin")]
    [InlineData("replay")]
    [InlineData("run now")]
    public void What_the_tool_does_not_know_is_refused(string line) => ToolRun.Of(line.Split(' ')).ShouldBeRefused("--help");

    [Fact]
    public void Help_names_every_verb()
    {
        ToolRun run = ToolRun.Of("--help");
        run.ExitCode.Should().Be(0);
        run.Out.Should().ContainAll("run", "boot", "twin", "replay", "scenario");
    }

    [Theory]
    [InlineData("run", "--quick", "--picture")]
    [InlineData("boot", "--arch", "--memory", "--cpus", "--cmdline", "--from", "--set", "--show", "--quiet")]
    [InlineData("twin", "DIR", "--all")]
    [InlineData("replay", "--like", "--at-least")]
    [InlineData("scenario", "SCENARIO", "--seed")]
    [InlineData("explain", "FILE", "--from", "--gfp", "--order", "--svg", "--kernel", "--quiet")]
    public void Every_verb_has_json_and_help(string verb, params string[] options)
    {
        ToolRun run = ToolRun.Of(verb, "--help");
        run.ExitCode.Should().Be(0);
        run.Out.Should().Contain("--json").And.ContainAll(options);
        run.Error.Should().BeEmpty();
    }

    [Fact]
    public void The_documentation_names_every_option_and_every_field_of_the_documents()
    {
        string documentation = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Data", "tool.md"));
        foreach (string option in (string[])["--json", "--quick", "--picture", "--arch", "--memory", "--cpus", "--cmdline", "--from", "--set", "--show", "--quiet", "--all", "--like", "--at-least", "--seed", "--out"])
        {
            documentation.Should().Contain($"`{option}");
        }

        IEnumerable<Type> documents = typeof(RunDocument).Assembly.GetTypes().Where(t => t.Namespace == "MemSim.Tool.Json" && t.Name.EndsWith("Document", StringComparison.Ordinal));
        foreach (System.Reflection.PropertyInfo property in documents.SelectMany(t => t.GetProperties().Where(p => p.GetMethod!.IsPublic)))
        {
            documentation.Should().Contain($"`{System.Text.Json.JsonNamingPolicy.SnakeCaseLower.ConvertName(property.Name)}`");
        }
    }

    [Fact]
    public void An_interrupt_ends_a_verb_with_130()
    {
        using var interrupted = new CancellationTokenSource();
        interrupted.Cancel();
        using var output = new StringWriter();
        using var error = new StringWriter();
        ToolApp.Run(["run", "--quick"], new ToolConsole(output, error) { Interrupted = interrupted.Token }).Should().Be(130);
        output.ToString().Should().BeEmpty();
        error.ToString().Should().Contain("interrupted");
    }
}
