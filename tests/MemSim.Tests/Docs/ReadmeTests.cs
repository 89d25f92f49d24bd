using System.Text.RegularExpressions;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Docs;

/// <summary>README.md shows the examples that run here, and they do what their comments say.</summary>
public class ReadmeTests
{
    [Theory]
    [InlineData("copy-on-write")]
    [InlineData("order-4")]
    [InlineData("hog")]
    public void The_documented_example_is_the_one_that_runs(string name)
    {
        string code = Regex.Match(Text("ReadmeExamples.cs"), $@"// <example {name}>\n(.*?)\n? *// </example>", RegexOptions.Singleline, TimeSpan.FromSeconds(1)).Groups[1].Value;
        code.Should().NotBeEmpty();

        // Here the examples write to a parameter, so that what they print can be looked at.
        string dedented = string.Concat(code.Replace("console.Write", "Console.Write", StringComparison.Ordinal).TrimEnd('\n').Split('\n').Select(line => (line.Length > 8 ? line[8..] : "") + "\n"));
        Text("README.md").Should().Contain("```csharp\n" + dedented + "```");
    }

    [Fact]
    public void A_page_written_after_fork_is_copied()
    {
        StringWriter output = new();
        ReadmeExamples.CopyOnWrite(output);
        output.ToString().Should().Contain("page 0x29ff is shared (mapped 2 times, 3 references): copied to 0x29fe").And.EndWith("42" + output.NewLine);
    }

    [Fact]
    public void Compaction_saves_the_allocation()
    {
        StringWriter output = new();
        ReadmeExamples.Order4(output);
        TestContext.Current.TestOutputHelper!.WriteLine(output.ToString());
        output.ToString().Should().Contain("GFP_ATOMIC) on CPU 0: fails").And.Contain("compaction, or fewer scattered unmovable pages").And.EndWith("False" + output.NewLine);
    }

    [Fact]
    public void The_hog_fills_swap_and_is_killed()
    {
        StringWriter output = new();
        ReadmeExamples.Hog(output);
        TestContext.Current.TestOutputHelper!.WriteLine(output.ToString());
        output.ToString().Should().Contain("/dev/vdb").And.Contain("Mem-Info").And.Contain("Out of memory: Killed process").And.Contain("(hog)");
    }

    private static string Text(string name) => File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", name)).ReplaceLineEndings("\n");
}
