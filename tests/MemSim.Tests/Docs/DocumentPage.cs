using System.Text.RegularExpressions;

namespace MemSim.Tests.Docs;

/// <summary>A block of a page between three backquotes: its language, its lines, and the comment above it, if any (<c>&lt;!-- given: ... --&gt;</c>).</summary>
internal sealed record CodeBlock(string Language, string Text, string Comment, int Line);

/// <summary>A page of documentation, its blocks and links.</summary>
internal sealed class DocumentPage(string path)
{
    public string Name { get; } = Path.GetFileNameWithoutExtension(path);

    public string Text { get; } = File.ReadAllText(path).ReplaceLineEndings("\n");

    public IReadOnlyList<CodeBlock> Blocks => [.. Matches("^(?:<!-- ([^\n]*?) -->\n+)?```([a-z]*)\n(.*?)^```$").Select(m => new CodeBlock(m.Groups[2].Value, m.Groups[3].Value, m.Groups[1].Value, Text.AsSpan(0, m.Index).Count('\n') + 1))];

    /// <summary>Targets of links to files, without what follows a #.</summary>
    public IReadOnlyList<string> Links => [.. Matches(@"\]\(([^)#\s]+)(?:#[^)]*)?\)").Select(m => m.Groups[1].Value).Where(link => !link.Contains("://", StringComparison.Ordinal))];

    public IEnumerable<Match> Matches(string pattern) => Regex.Matches(Text, pattern, RegexOptions.Singleline | RegexOptions.Multiline, TimeSpan.FromSeconds(5));
}
