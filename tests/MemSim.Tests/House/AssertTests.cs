using System.Text.RegularExpressions;
using FluentAssertions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Xunit;

namespace MemSim.Tests.House;

/// <summary>What changes lists, counts, page flags or page-table entries says what holds: the table in <c>docs/architecture.md</c> names the methods, and each of them asserts something.</summary>
public sealed partial class AssertTests
{
    private const string Begin = "<!-- asserts: held by AssertTests -->\n";
    private const string End = "<!-- end of asserts -->";

    private static readonly string Core = Path.GetFullPath(Path.Combine(SourceTree.TestFolder(), "..", "..", "src", "MemSim"));

    private static readonly Lazy<Dictionary<string, List<MemberDeclarationSyntax>>> Members = new(() =>
    {
        Dictionary<string, List<MemberDeclarationSyntax>> members = [];
        foreach (string file in Directory.EnumerateFiles(Core, "*.cs", SearchOption.AllDirectories).Where(file => !file.Split(Path.DirectorySeparatorChar).Any(part => part is "obj" or "bin")))
        {
            foreach (MemberDeclarationSyntax member in Parse(File.ReadAllText(file)).DescendantNodes().OfType<MemberDeclarationSyntax>())
            {
                if (NameOf(member) is { } name)
                {
                    members.TryAdd(name, []);
                    members[name].Add(member);
                }
            }
        }

        return members;
    });

    [Fact]
    public void What_the_table_names_asserts_something()
    {
        string text = File.ReadAllText(Path.Combine(Core, "..", "..", "docs", "architecture.md"));
        string table = text[(text.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length)..text.IndexOf(End, StringComparison.Ordinal)];
        string[] named = [.. Named().Matches(table).Select(match => match.Groups[1].Value)];

        named.Should().HaveCountGreaterThan(40);
        string.Join('\n', named.Where(name => !Members.Value.TryGetValue(name, out List<MemberDeclarationSyntax>? members) || !members.Any(Asserts))).Should().BeEmpty("what the table names is there and has a Debug.Assert");
    }

    [Theory]
    [InlineData("class C { void M() { System.Diagnostics.Debug.Assert(true); } }", true)]
    [InlineData("class C { void M() { Debug.Assert(true, \"\"); } }", true)]
    [InlineData("class C { void M() { /* Debug.Assert(true); */ Assert(true); } }", false)]
    [InlineData("class C { void M() => Trace.Assert(true); }", false)]
    public void An_assertion_is_seen(string text, bool asserts) => Parse(text).DescendantNodes().OfType<MethodDeclarationSyntax>().Single().Should().Match<MethodDeclarationSyntax>(method => Asserts(method) == asserts);

    private static SyntaxNode Parse(string text) => CSharpSyntaxTree.ParseText(text, new CSharpParseOptions(LanguageVersion.Preview, DocumentationMode.None)).GetRoot();

    /// <summary>A method or property as <c>Type.Member</c>, without type parameters.</summary>
    private static string? NameOf(MemberDeclarationSyntax member) => (member, member.Parent) switch
    {
        (MethodDeclarationSyntax method, TypeDeclarationSyntax type) => $"{type.Identifier.Text}.{method.Identifier.Text}",
        (PropertyDeclarationSyntax property, TypeDeclarationSyntax type) => $"{type.Identifier.Text}.{property.Identifier.Text}",
        _ => null,
    };

    private static bool Asserts(MemberDeclarationSyntax member) => member.DescendantNodes().OfType<InvocationExpressionSyntax>()
        .Any(call => call.Expression.ToString() is "Debug.Assert" or "System.Diagnostics.Debug.Assert");

    [GeneratedRegex("`(\\w+\\.\\w+)`")]
    private static partial Regex Named();
}
