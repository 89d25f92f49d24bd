using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace MemSim.Mutants;

/// <summary>Puts many mutants into the sources of a copy of the repository, each behind a switch (mutant schemata): one build for all, and one process can try one after another.</summary>
internal static partial class MutantMaker
{
    private const string Switch = """
        namespace MemSim;

        internal static class MutantSwitch
        {
            public static int On = int.TryParse(System.Environment.GetEnvironmentVariable("MEMSIM_MUTANT"), out int n) ? n : -1;
            public static bool[]? Met;

            public static bool Is(int mutant)
            {
                if (Met is { } met)
                {
                    met[mutant] = true;
                }

                return On == mutant;
            }
        }
        """;

    /// <summary>Changes the files.</summary>
    /// <param name="root">The copy.</param>
    /// <param name="rooms">The rooms to change.</param>
    /// <param name="seed">Where the sample comes from.</param>
    /// <param name="count">How many.</param>
    /// <param name="left">Numbers that did not compile; the next of the sample take their places.</param>
    public static List<Mutant> Make(string root, IReadOnlyList<string> rooms, int seed, int count, IReadOnlySet<int> left)
    {
        string source = Path.Combine(root, "src", "MemSim");
        List<(string File, SyntaxNode Node, string After)> all = [];
        foreach (string room in rooms)
        {
            foreach (string path in Directory.GetFiles(Path.Combine(source, room), "*.cs", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
            {
                SyntaxNode tree = CSharpSyntaxTree.ParseText(File.ReadAllText(path)).GetRoot();
                all.AddRange(MutantFinder.In(tree).Select(found => (path, found.Node, found.After)));
            }
        }

        Random random = new(seed);
        (string File, SyntaxNode Node, string After)[] shuffled = [.. all.OrderBy(_ => random.Next())];
        List<(int Id, string File, SyntaxNode Node, string After)> sample = [];
        for (int id = 0; id < shuffled.Length && sample.Count < count; id++)
        {
            // One inside of another would be lost in the other's changed half.
            (string file, SyntaxNode node, string after) = shuffled[id];
            if (!left.Contains(id) && !sample.Exists(c => string.Equals(c.File, file, StringComparison.Ordinal) && c.Node.Span.OverlapsWith(node.Span)))
            {
                sample.Add((id, file, node, after));
            }
        }

        List<Mutant> mutants = [];
        foreach (IGrouping<string, (int Id, string File, SyntaxNode Node, string After)> file in sample.GroupBy(m => m.File))
        {
            string relative = Path.GetRelativePath(source, file.Key).Replace('\\', '/');
            foreach ((int id, _, SyntaxNode node, string after) in file)
            {
                int line = node.SyntaxTree.GetLineSpan(node.Span).StartLinePosition.Line + 1;
                mutants.Add(new Mutant(id, relative.Split('/')[0], relative, line, node.ToString(), after.Length == 0 ? "(left out)" : after));
            }

            StringBuilder text = new(File.ReadAllText(file.Key));
            foreach ((int id, _, SyntaxNode node, string after) in file.OrderByDescending(c => c.Node.SpanStart))
            {
                text.Remove(node.SpanStart, node.Span.Length).Insert(node.SpanStart, MutantFinder.Switched(node, node.ToString(), id, after));
            }

            File.WriteAllText(file.Key, text.ToString());
        }

        File.WriteAllText(Path.Combine(source, "MutantSwitch.cs"), Switch);
        Console.WriteLine($"{all.Count} places in {string.Join(", ", rooms)}; {mutants.Count} mutants");
        return mutants;
    }

    /// <summary>The numbers of the mutants in whose lines the compiler found errors.</summary>
    /// <param name="build">What the build said.</param>
    public static IEnumerable<int> NotCompiling(IEnumerable<string> build)
    {
        foreach (Match error in build.Select(line => ErrorAt().Match(line)).Where(m => m.Success))
        {
            // What a changed condition no longer assigns is missed in a later line.
            string[] lines = File.ReadAllLines(error.Groups["file"].Value);
            int at = int.Parse(error.Groups["line"].Value, CultureInfo.InvariantCulture) - 1;
            while (at > 0 && !SwitchAt().IsMatch(lines[at]))
            {
                at--;
            }

            foreach (Match id in SwitchAt().Matches(lines[at]))
            {
                yield return int.Parse(id.Groups["id"].Value, CultureInfo.InvariantCulture);
            }
        }
    }

    [GeneratedRegex(@"^\s*(?<file>/[^(]+\.cs)\((?<line>\d+),\d+\): error", RegexOptions.ExplicitCapture)]
    private static partial Regex ErrorAt();

    [GeneratedRegex(@"MutantSwitch\.Is\((?<id>\d+)\)", RegexOptions.ExplicitCapture)]
    private static partial Regex SwitchAt();
}
