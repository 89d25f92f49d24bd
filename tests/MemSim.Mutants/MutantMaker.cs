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
        List<(string File, SyntaxNode Node, string After)> all = Places(root, rooms);
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

        Console.WriteLine($"{all.Count} places in {string.Join(", ", rooms)}");
        return Put(root, sample);
    }

    /// <summary>Changes the files as an earlier sample did, so that it stays one while the code goes on: each mutant where the same code stands, the nearest of its kind in the file.</summary>
    /// <param name="root">The copy.</param>
    /// <param name="rooms">The rooms to change.</param>
    /// <param name="earlier">The sample.</param>
    /// <param name="left">Numbers that did not compile.</param>
    public static List<Mutant> Again(string root, IReadOnlyList<string> rooms, IReadOnlyList<Mutant> earlier, IReadOnlySet<int> left)
    {
        string source = Path.Combine(root, "src", "MemSim");
        ILookup<(string, string, string), (string File, SyntaxNode Node, string After)> places = Places(root, rooms).ToLookup(p =>
        {
            Mutant made = Describe(source, 0, p.File, p.Node, p.After);
            return (made.File, made.Before, made.After);
        });
        List<(int Id, string File, SyntaxNode Node, string After)> sample = [];
        foreach (Mutant mutant in earlier.Where(m => !left.Contains(m.Id)))
        {
            var free = places[(mutant.File, mutant.Before, mutant.After)].Where(p => !sample.Exists(c => c.File == p.File && c.Node.Span.OverlapsWith(p.Node.Span)));
            if (free.OrderBy(p => Math.Abs(Line(p.Node) - mutant.Line)).FirstOrDefault() is { Node: not null } place)
            {
                sample.Add((mutant.Id, place.File, place.Node, place.After));
            }
            else
            {
                Console.WriteLine($"no longer there: {mutant}");
            }
        }

        return Put(root, sample);
    }

    private static List<(string File, SyntaxNode Node, string After)> Places(string root, IReadOnlyList<string> rooms)
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

        return all;
    }

    private static int Line(SyntaxNode node) => node.SyntaxTree.GetLineSpan(node.Span).StartLinePosition.Line + 1;

    // As it reads in the list.
    private static Mutant Describe(string source, int id, string file, SyntaxNode node, string after)
    {
        string relative = Path.GetRelativePath(source, file).Replace('\\', '/');
        return Mutant.Parse(new Mutant(id, relative.Split('/')[0], relative, Line(node), node.ToString(), after.Length == 0 ? "(left out)" : after).ToString());
    }

    private static List<Mutant> Put(string root, List<(int Id, string File, SyntaxNode Node, string After)> sample)
    {
        string source = Path.Combine(root, "src", "MemSim");
        List<Mutant> mutants = [];
        foreach (IGrouping<string, (int Id, string File, SyntaxNode Node, string After)> file in sample.GroupBy(m => m.File))
        {
            mutants.AddRange(file.Select(m => Describe(source, m.Id, m.File, m.Node, m.After)));
            StringBuilder text = new(File.ReadAllText(file.Key));
            foreach ((int id, _, SyntaxNode node, string after) in file.OrderByDescending(c => c.Node.SpanStart))
            {
                text.Remove(node.SpanStart, node.Span.Length).Insert(node.SpanStart, MutantFinder.Switched(node, node.ToString(), id, after));
            }

            File.WriteAllText(file.Key, text.ToString());
        }

        File.WriteAllText(Path.Combine(source, "MutantSwitch.cs"), Switch);
        Console.WriteLine($"{mutants.Count} mutants");
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
