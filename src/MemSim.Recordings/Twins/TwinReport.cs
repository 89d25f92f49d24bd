using System.Globalization;
using System.Text;

namespace MemSim.Recordings;

/// <summary>What comparing a computed figure with a captured one gave.</summary>
public enum TwinVerdict
{
    /// <summary>They are equal.</summary>
    Match,

    /// <summary>They differ.</summary>
    Mismatch,

    /// <summary>There is nothing to compare: the figure was blanked out, or what it was computed from cannot be known.</summary>
    NotComparable,
}

/// <summary>One figure of a captured machine beside the one computed from its layout.</summary>
/// <param name="Step">The state it belongs to: <c>base</c>, or the name of a step under <c>runtime/</c>.</param>
/// <param name="Figure">The figure: <c>min</c>, <c>low</c>, <c>high</c>, <c>promo</c>, <c>protection</c>, <c>pcp high</c>, <c>pcp batch</c>, <c>stat threshold</c>, <c>min_free_kbytes</c>.</param>
/// <param name="Node">The node, null for a figure of the whole machine.</param>
/// <param name="Zone">The kernel's name of the zone, null for a figure of the whole machine.</param>
/// <param name="Cpu">The CPU, null for a figure of a zone.</param>
/// <param name="Captured">The kernel's figure, null where there is none.</param>
/// <param name="Computed">The figure computed.</param>
/// <param name="Verdict">What comparing them gave.</param>
/// <param name="Reason">Why they are not comparable, else null.</param>
public sealed record TwinRow(string Step, string Figure, int? Node, string? Zone, int? Cpu, string? Captured, string Computed, TwinVerdict Verdict, string? Reason)
{
    /// <summary>The row as one line of text.</summary>
    public override string ToString()
    {
        var text = new StringBuilder(Step);
        if (Zone is not null)
        {
            text.Append(CultureInfo.InvariantCulture, $" node {Node} zone {Zone}");
        }

        if (Cpu is not null)
        {
            text.Append(CultureInfo.InvariantCulture, $" cpu {Cpu}");
        }

        text.Append(CultureInfo.InvariantCulture, $" {Figure}: captured {Captured ?? "-"}, computed {Computed}");
        return Reason is null ? text.ToString() : text.Append(CultureInfo.InvariantCulture, $" ({Reason})").ToString();
    }
}

/// <summary>How a machine's figures compare with those computed from its layout.</summary>
/// <param name="Directory">The folder of the machine.</param>
/// <param name="Kernel">The rule set used.</param>
/// <param name="Rows">Every figure of every state.</param>
public sealed record TwinReport(string Directory, string Kernel, IReadOnlyList<TwinRow> Rows)
{
    /// <summary>What the user must know about the rules used.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Figures that are equal.</summary>
    public int Matched => Rows.Count(r => r.Verdict == TwinVerdict.Match);

    /// <summary>Figures that differ.</summary>
    public int Mismatched => Rows.Count(r => r.Verdict == TwinVerdict.Mismatch);

    /// <summary>Figures that could not be compared; they count neither way.</summary>
    public int NotComparable => Rows.Count(r => r.Verdict == TwinVerdict.NotComparable);

    /// <summary>Figures that could be compared.</summary>
    public int Compared => Matched + Mismatched;

    /// <summary>Writes what differs, what could not be compared and why, a line for each state, and <c>matched N of M</c> last.</summary>
    /// <param name="output">Where to write.</param>
    public void WriteText(TextWriter output)
    {
        ArgumentNullException.ThrowIfNull(output);
        foreach (TwinRow row in Rows.Where(r => r.Verdict == TwinVerdict.Mismatch))
        {
            output.WriteLine("differs: " + row);
        }

        foreach (IGrouping<string, TwinRow> step in Rows.GroupBy(r => r.Step))
        {
            int matched = step.Count(r => r.Verdict == TwinVerdict.Match);
            int compared = step.Count(r => r.Verdict != TwinVerdict.NotComparable);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{step.Key}: {matched} of {compared}"));
            foreach (IGrouping<string?, TwinRow> apart in step.Where(r => r.Verdict == TwinVerdict.NotComparable).GroupBy(r => r.Reason))
            {
                string figures = string.Join(", ", apart.Select(r => r.Figure).Distinct());
                output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  not comparable: {apart.Count()} ({figures}): {apart.Key}"));
            }
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"matched {Matched} of {Compared}"));
    }
}
