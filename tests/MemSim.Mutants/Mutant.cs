using System.Globalization;

namespace MemSim.Mutants;

/// <summary>One small change of the code that some test should notice.</summary>
/// <param name="Id">Its number.</param>
/// <param name="Room">The room it is in.</param>
/// <param name="File">The file, from <c>src/MemSim</c> on.</param>
/// <param name="Line">The line.</param>
/// <param name="Before">The code.</param>
/// <param name="After">The changed code.</param>
internal sealed record Mutant(int Id, string Room, string File, int Line, string Before, string After)
{
    private static readonly char[] Breaks = ['\n', '\r', '\t'];

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Id}\t{Room}\t{File}\t{Line}\t{Flat(Before)}\t{Flat(After)}");

    public static Mutant Parse(string line)
    {
        string[] fields = line.Split('\t');
        return new Mutant(int.Parse(fields[0], CultureInfo.InvariantCulture), fields[1], fields[2], int.Parse(fields[3], CultureInfo.InvariantCulture), fields[4], fields[5]);
    }

    private static string Flat(string text) => string.Join(' ', text.Split(Breaks, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
}
