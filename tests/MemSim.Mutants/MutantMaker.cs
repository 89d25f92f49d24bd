using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace MemSim.Mutants;

/// <summary>Puts many mutants into the sources of a copy of the repository, each behind a switch that is read when the process starts (mutant schemata): one build for all.</summary>
internal static class MutantMaker
{
    private const string Switch = """
        namespace MemSim;

        internal static class MutantSwitch
        {
            private static readonly int On = int.TryParse(System.Environment.GetEnvironmentVariable("MEMSIM_MUTANT"), out int n) ? n : -1;
            private static readonly string? Seen = System.Environment.GetEnvironmentVariable("MEMSIM_MUTANTS_SEEN");
            private static readonly bool[] Met = new bool[COUNT];

            static MutantSwitch()
            {
                if (Seen is not null)
                {
                    System.AppDomain.CurrentDomain.ProcessExit += (_, _) => System.IO.File.WriteAllLines(Seen, System.Linq.Enumerable.Range(0, Met.Length).Where(i => Met[i]).Select(i => i.ToString()));
                }
            }

            public static bool Is(int mutant)
            {
                if (Seen is not null)
                {
                    Met[mutant] = true;
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
    /// <param name="left">Numbers that did not compile.</param>
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
        List<(string File, SyntaxNode Node, string After)> sample = [.. all.OrderBy(_ => random.Next()).Take(count)];
        List<Mutant> mutants = [];
        foreach (IGrouping<string, (int Id, string File, SyntaxNode Node, string After)> file in sample.Select((m, id) => (Id: id, m.File, m.Node, m.After)).GroupBy(m => m.File))
        {
            string relative = Path.GetRelativePath(source, file.Key).Replace('\\', '/');
            List<(int Id, SyntaxNode Node, string After)> chosen = [];
            foreach ((int id, _, SyntaxNode node, string after) in file)
            {
                // One inside of another would be lost in the other's changed half.
                if (!left.Contains(id) && !chosen.Exists(c => c.Node.Span.OverlapsWith(node.Span)))
                {
                    chosen.Add((id, node, after));
                    int line = node.SyntaxTree.GetLineSpan(node.Span).StartLinePosition.Line + 1;
                    mutants.Add(new Mutant(id, relative.Split('/')[0], relative, line, node.ToString(), after.Length == 0 ? "(left out)" : after));
                }
            }

            StringBuilder text = new(File.ReadAllText(file.Key));
            foreach ((int id, SyntaxNode node, string after) in chosen.OrderByDescending(c => c.Node.SpanStart))
            {
                text.Remove(node.SpanStart, node.Span.Length).Insert(node.SpanStart, MutantFinder.Switched(node, node.ToString(), id, after));
            }

            File.WriteAllText(file.Key, text.ToString());
        }

        File.WriteAllText(Path.Combine(source, "MutantSwitch.cs"), Switch.Replace("COUNT", sample.Count.ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal));
        Console.WriteLine($"{all.Count} places in {string.Join(", ", rooms)}; {mutants.Count} mutants");
        return mutants;
    }
}
