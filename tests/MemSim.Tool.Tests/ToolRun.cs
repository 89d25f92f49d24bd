using System.Text.Json;
using FluentAssertions;

namespace MemSim.Tool.Tests;

/// <summary>One run of the tool in this process.</summary>
internal sealed record ToolRun(int ExitCode, string Out, string Error)
{
    public string LastLine => Out.TrimEnd('\n').Split('\n')[^1];

    public static ToolRun Of(params string[] args)
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var error = new StringWriter { NewLine = "\n" };
        int exitCode = ToolApp.Run(args, output, error);
        return new ToolRun(exitCode, output.ToString(), error.ToString());
    }

    /// <summary>The document on standard output.</summary>
    public JsonElement Json()
    {
        using JsonDocument document = JsonDocument.Parse(Out);
        return document.RootElement.Clone();
    }

    /// <summary>Exit code 2, the reason on standard error, nothing half-done on standard output.</summary>
    public void ShouldBeRefused(string reason)
    {
        ExitCode.Should().Be(2, Error);
        Out.Should().BeEmpty();
        Error.Should().Contain(reason);
        Error.Should().NotContain("   at ", "nobody wants to read a stack trace");
    }

    /// <summary>The same exit code and the same last line, which counts what matched.</summary>
    public void ShouldMatchAsMuchAs(ToolRun other)
    {
        ExitCode.Should().Be(other.ExitCode, Out + Error);
        LastLine.Should().StartWith("matched ").And.Be(other.LastLine);
    }

    /// <summary>All of it matched, as the last line says.</summary>
    public void ShouldMatchWhole()
    {
        ExitCode.Should().Be(0, Out + Error);
        string[] words = LastLine.Split(' ');
        words.Should().HaveCount(4);
        LastLine.Should().Be($"matched {words[1]} of {words[1]}");
        long.Parse(words[1]).Should().BePositive();
    }
}
