using System.Text.RegularExpressions;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Docs;

/// <summary>
/// Every block of C# in docs and README runs, and a block of text right behind it is what it prints; <c>...</c> stands for lines left out. What a fragment takes for granted stands in a comment above it that readers do not see
/// (<c>&lt;!-- given: ... --&gt;</c>).
/// </summary>
public partial class DocumentCodeTests
{
    private const string Usings = "using MemSim;\nusing MemSim.Kernels;\nusing MemSim.Observability;\n";

    private static readonly string Docs = Path.Combine(AppContext.BaseDirectory, "docs");

    // Pages whose code runs in the tests of what it is about.
    private static readonly string[] TestedElsewhere = ["testing", "explain", "slab"];

    public static TheoryData<string, int> Examples
    {
        get
        {
            TheoryData<string, int> data = [];
            foreach (string page in Directory.GetFiles(Docs, "*.md").Select(file => Path.GetFileNameWithoutExtension(file)).Except(TestedElsewhere).Order(StringComparer.Ordinal).Append("tour/README"))
            {
                for (int i = 0; i < Code(page).Count; i++)
                {
                    data.Add(page, i);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Examples))]
    public void The_example_runs_and_prints_what_the_page_says(string page, int number)
    {
        (CodeBlock code, CodeBlock? output) = Code(page)[number];
        string given = code.Comment.StartsWith("given: ", StringComparison.Ordinal) ? code.Comment["given: ".Length..] + "\n" : "";
        string program = code.Text.StartsWith("using MemSim;", StringComparison.Ordinal) || code.Text.StartsWith("using System", StringComparison.Ordinal) ? code.Text : Usings + given + code.Text;

        // The kernel leaves a space at the end of some lines, editors of pages do not.
        string printed = string.Join('\n', SampleRunner.Run(program, $"{Path.GetFileName(page)}-{number}").Split('\n').Select(line => line.TrimEnd()));

        TestContext.Current.TestOutputHelper!.WriteLine(printed);
        printed.Should().NotContain("Unhandled exception");
        int from = 0;
        foreach (string part in output?.Text.TrimEnd('\n').Split("\n...\n") ?? [])
        {
            int at = printed.IndexOf(part, from, StringComparison.Ordinal);
            at.Should().BeGreaterThanOrEqualTo(0, "line {0} of {1}.md is followed by what it prints: {2}", code.Line, page, part);
            from = at + part.Length;
        }

        ShouldSay(code, page, printed);
    }

    /// <summary>A figure in the comment behind a statement that prints (<c>// 1</c>, <c>// False</c>, <c>// AnonHugePages: 2048 kB</c>) is a line of what it prints.</summary>
    private static void ShouldSay(CodeBlock code, string page, string printed)
    {
        string[] lines = [.. printed.Split('\n').Select(Plain)];
        foreach (string said in PrintedFigure().Matches(code.Text).Select(m => m.Groups[1].Value))
        {
            lines.Should().Contain(Plain(said), "{0}.md says so behind a statement below line {1}", page, code.Line);
        }

        static string Plain(string line) => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public void What_a_page_calls_missing_is_no_member_of_an_enumeration()
    {
        // MADV_COLLAPSE is MemoryAdvice.Collapse: whichever enumeration has such a member, the sentence is to be looked at again.
        HashSet<string> members = new(typeof(Machine).Assembly.GetExportedTypes().Where(t => t.IsEnum).SelectMany(Enum.GetNames), StringComparer.OrdinalIgnoreCase);
        bool IsThere(string name) => members.Contains(name[(name.IndexOf('_', StringComparison.Ordinal) + 1)..].Replace("_", "", StringComparison.Ordinal));
        IsThere("MADV_COLLAPSE").Should().BeTrue();
        IsThere("MADV_COLLAPSED").Should().BeFalse();

        IEnumerable<string> wrong = Directory.GetFiles(Docs, "*.md", SearchOption.AllDirectories).SelectMany(file => MissingName().Matches(new DocumentPage(file).Text)
            .Select(m => m.Groups[1].Value).Where(IsThere).Select(name => $"{Path.GetFileName(file)}: {name}"));

        wrong.Should().BeEmpty();
    }

    [Fact]
    public void There_are_examples_to_run() => Examples.Should().HaveCountGreaterThan(18);

    [Fact]
    public void Links_between_pages_lead_to_files_and_headings()
    {
        List<string> broken = [];
        foreach (string file in Directory.GetFiles(Docs, "*.md", SearchOption.AllDirectories).Where(file => !file.EndsWith("README.md", StringComparison.Ordinal) || file.Contains("tour", StringComparison.Ordinal)))
        {
            foreach ((string path, string heading) in new DocumentPage(file).Matches(@"\]\(([a-z./-]*\.md)?(#[^)\s]+)?\)").Select(m => (m.Groups[1].Value, m.Groups[2].Value)).Where(link => link != ("", "")))
            {
                string target = path.Length == 0 ? file : Path.GetFullPath(Path.Combine(Path.GetDirectoryName(file)!, path));
                bool outside = path.Contains("benchmarks", StringComparison.Ordinal);
                if (!outside && (!File.Exists(target) || (heading.Length != 0 && !Headings(target).Contains(heading))))
                {
                    broken.Add($"{Path.GetFileName(file)}: {path}{heading}");
                }
            }
        }

        broken.Should().BeEmpty();
    }

    /// <summary>Anchors of a page's headings, as GitHub makes them.</summary>
    private static HashSet<string> Headings(string file) =>
        [.. new DocumentPage(file).Matches("^#+ ([^\n]*)$").Select(m => "#" + string.Concat(m.Groups[1].Value.ToLowerInvariant().Where(c => char.IsLetterOrDigit(c) || c is ' ' or '-' or '_')).Replace(' ', '-'))];

    private static List<(CodeBlock Code, CodeBlock? Output)> Code(string page)
    {
        IReadOnlyList<CodeBlock> blocks = new DocumentPage(Path.Combine(Docs, page + ".md")).Blocks;
        List<(CodeBlock, CodeBlock?)> examples = [];
        for (int i = 0; i < blocks.Count; i++)
        {
            if (blocks[i].Language == "csharp")
            {
                int end = blocks[i].Line + blocks[i].Text.Count(c => c == '\n') + 1;
                CodeBlock? next = i + 1 < blocks.Count ? blocks[i + 1] : null;
                examples.Add((blocks[i], next is { Language: "text" } && next.Line <= end + 3 ? next : null));
            }
        }

        return examples;
    }

    [GeneratedRegex(@"Console\.Write(?:Line)?\([^\n]*\); *// *(-?\d+|0x[0-9a-f]+|True|False|\w+: \d+ kB)$", RegexOptions.Multiline, 1000)]
    private static partial Regex PrintedFigure();

    [GeneratedRegex(@"`([A-Z]+_[A-Z_]+)`,? (?:is|are) (?:missing|not simulated|not there|not implemented)", RegexOptions.None, 1000)]
    private static partial Regex MissingName();
}
