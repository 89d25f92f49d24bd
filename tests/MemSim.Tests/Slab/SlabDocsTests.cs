using System.Text.RegularExpressions;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>docs/slab.md shows the example that runs here, and what it prints.</summary>
public class SlabDocsTests
{
    [Fact]
    public void The_documented_example_is_the_one_that_runs()
    {
        string source = Text("SlabExample.cs");
        string code = Regex.Match(source, @"// <example>\n(.*?) *// </example>", RegexOptions.Singleline, TimeSpan.FromSeconds(1)).Groups[1].Value;
        string dedented = string.Concat(code.Split('\n').SkipLast(1).Select(line => (line.Length > 8 ? line[8..] : "") + "\n"));
        Text("slab.md").Should().Contain("```csharp\n" + dedented + "```");
    }

    [Theory]
    [InlineData("slub")]
    [InlineData("slab")]
    public void The_documented_output_is_what_it_prints(string implementation)
    {
        StringWriter output = new();
        SlabExample.Run(implementation, output);
        Text("slab.md").Should().Contain("```text\n" + output + "```");
    }

    private static string Text(string name) => File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", name)).ReplaceLineEndings("\n");
}
