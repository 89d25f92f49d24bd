using System.CommandLine;

namespace MemSim.Tool.CommandLine;

/// <summary>Finds the word that somebody who mistyped one had in mind.</summary>
internal static class Suggestion
{
    /// <summary>Letters that may be wrong: one in three, so that no word is suggested that has little in common.</summary>
    private const int LettersPerError = 3;

    /// <summary>The verb or option of a command that is spelled most like a word; null where none is.</summary>
    public static string? For(string word, Command command)
    {
        IEnumerable<string> known = command.Subcommands.Select(c => c.Name).Concat(command.Options.Select(o => o.Name)).Where(name => name.Length > 2);
        (string? name, int errors) = known.Select(name => (name, Distance(word, name))).OrderBy(c => c.Item2).ThenBy(c => c.name, StringComparer.Ordinal).FirstOrDefault();
        return name is not null && errors <= Math.Max(1, name.TrimStart('-').Length / LettersPerError) ? name : null;
    }

    /// <summary>Letters to insert, leave out, replace or swap with their neighbour to make one word of the other.</summary>
    private static int Distance(string a, string b)
    {
        int[,] d = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++)
        {
            for (int j = 0; j <= b.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    d[i, j] = i + j;
                    continue;
                }

                int other = a[i - 1] == b[j - 1] ? 0 : 1;
                d[i, j] = Math.Min(Math.Min(d[i - 1, j], d[i, j - 1]) + 1, d[i - 1, j - 1] + other);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    d[i, j] = Math.Min(d[i, j], d[i - 2, j - 2] + 1);
                }
            }
        }

        return d[a.Length, b.Length];
    }
}
