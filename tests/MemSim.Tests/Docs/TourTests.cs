using System.Text.RegularExpressions;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Docs;

/// <summary>
/// docs/tour: each page shows a program of docs/samples whole, and what it prints; each "break it" is a change of that program (a diff) with what it then prints.
/// <c>MEMSIM_UPDATE_TOUR=docs</c> (a path) writes programs and what they print into the pages instead.
/// </summary>
public partial class TourTests
{
    private static readonly string Docs = Path.Combine(AppContext.BaseDirectory, "docs");

    public static TheoryData<string> Pages => [.. Directory.GetFiles(Path.Combine(Docs, "tour"), "*.md").Select(file => Path.GetFileNameWithoutExtension(file)).Where(name => name != "README").Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Pages))]
    public void The_page_shows_its_program_and_what_it_prints(string name)
    {
        string program = File.ReadAllText(Path.Combine(Docs, "samples", name + ".cs")).ReplaceLineEndings("\n");
        string printed = SampleRunner.Run(program, name);
        Update(name, program, printed);

        DocumentPage page = Page(name);
        Blocks(page, "csharp").Should().ContainSingle().Which.Should().Be(program);
        Blocks(page, "text")[0].Should().Be(printed);
        printed.Should().NotContain("Unhandled exception");
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public void What_breaks_breaks_as_the_page_says(string name)
    {
        DocumentPage page = Page(name);
        List<CodeBlock> blocks = [.. page.Blocks.SkipWhile(b => b.Language != "diff")];

        blocks.Should().NotBeEmpty("each page has something to break");
        for (int i = 0; i < blocks.Count; i += 2)
        {
            (blocks[i].Language, blocks[i + 1].Language).Should().Be(("diff", "text"));
            string program = Changed(Blocks(page, "csharp")[0], blocks[i].Text);
            string printed = SampleRunner.Run(program, $"{name}-broken-{i / 2 + 1}");
            TestContext.Current.TestOutputHelper!.WriteLine(printed);
            foreach (string part in blocks[i + 1].Text.TrimEnd('\n').Split("\n...\n"))
            {
                printed.Should().Contain(part);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public void The_page_is_short_and_leads_on(string name)
    {
        DocumentPage page = Page(name);

        page.Text.Count('\n').Should().BeInRange(40, 160);
        page.Links.Should().Contain(link => link.StartsWith("../", StringComparison.Ordinal) && link.EndsWith(".md", StringComparison.Ordinal), "it leads to the reference page");
        page.Links.Should().Contain($"../samples/{name}.cs");
        string[] lessons = [.. LessonLink().Matches(page.Text).Select(m => m.Groups[1].Value)];
        lessons.Should().NotBeEmpty();
        lessons.Should().BeSubsetOf(Lessons());
    }

    [Fact]
    public void The_contents_name_every_page_once_and_there_is_no_program_without_a_page()
    {
        string[] listed = [.. Page("README").Links.Where(link => !link.Contains('/', StringComparison.Ordinal))];

        listed.Should().OnlyHaveUniqueItems();
        listed.Select(file => Path.GetFileNameWithoutExtension(file)).Should().BeEquivalentTo(Pages.Select(row => row.Data));
        Directory.GetFiles(Path.Combine(Docs, "samples")).Select(file => Path.GetFileNameWithoutExtension(file)).Should().BeEquivalentTo(Pages.Select(row => row.Data));
    }

    [Fact]
    public void Who_follows_the_pages_one_by_one_sees_all_of_them_in_the_order_of_the_contents()
    {
        string[] listed = [.. Page("README").Links.Where(link => !link.Contains('/', StringComparison.Ordinal))];

        // The last page leads back to the contents.
        listed.Select(file => NextLink().Match(Page(Path.GetFileNameWithoutExtension(file)).Text).Groups[1].Value).Should().Equal([.. listed[1..], "README.md"]);
    }

    /// <summary>A program with a diff's lines changed: each line taken out stands there once; lines put in without one follow those before them.</summary>
    private static string Changed(string program, string diff)
    {
        List<string> lines = [.. program.Split('\n')];
        int at = -1;
        foreach (string change in diff.TrimEnd('\n').Split('\n'))
        {
            string text = change[1..];
            if (change[0] == '+')
            {
                at.Should().BeGreaterThan(-1, "a line is put in behind another one");
                lines.Insert(at++, text);
                continue;
            }

            lines.Count(line => line == text).Should().Be(1, "the program has this line once: {0}", text);
            at = lines.IndexOf(text);
            if (change[0] == '-')
            {
                lines.RemoveAt(at);
            }
            else
            {
                at++;
            }
        }

        return string.Join('\n', lines);
    }

    private static void Update(string name, string program, string printed)
    {
        if (Environment.GetEnvironmentVariable("MEMSIM_UPDATE_TOUR") is { Length: > 0 } docs)
        {
            string page = Page(name).Text;
            foreach ((string language, string content) in new[] { ("csharp", program), ("text", printed) })
            {
                Match block = Regex.Match(page, $"^```{language}\n.*?^```$", RegexOptions.Singleline | RegexOptions.Multiline, TimeSpan.FromSeconds(5));
                page = page[..block.Index] + $"```{language}\n{content}```" + page[(block.Index + block.Length)..];
            }

            File.WriteAllText(Path.Combine(docs, "tour", name + ".md"), page);
            File.WriteAllText(Path.Combine(Docs, "tour", name + ".md"), page);
        }
    }

    private static HashSet<string> Lessons() =>
        [.. Directory.GetFiles(Path.Combine(Docs, "lessons"), "*Lessons.cs").SelectMany(file => LessonName().Matches(File.ReadAllText(file).ReplaceLineEndings("\n")).Select(m => m.Groups[1].Value))];

    private static List<string> Blocks(DocumentPage page, string language) => [.. page.Blocks.Where(b => b.Language == language).Select(b => b.Text)];

    private static DocumentPage Page(string name) => new(Path.Combine(Docs, "tour", name + ".md"));

    [GeneratedRegex(@"\?lesson=([a-z]+)", RegexOptions.None, 1000)]
    private static partial Regex LessonLink();

    [GeneratedRegex(@"(?:Next:|Back to)\s\[[^\]]*\]\(([\w-]+\.md)\)", RegexOptions.None, 1000)]
    private static partial Regex NextLink();

    [GeneratedRegex(@"static Lesson \w+ \{ get; \} = new\(\n *""([a-z]+)"",", RegexOptions.None, 1000)]
    private static partial Regex LessonName();
}
