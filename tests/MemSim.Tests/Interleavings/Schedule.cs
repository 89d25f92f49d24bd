using System.Globalization;

namespace MemSim.Tests.Interleavings;

/// <summary>Another CPU than usual goes on.</summary>
/// <param name="At">The number of the decision.</param>
/// <param name="Cpu">Who goes on.</param>
internal readonly record struct Deviation(int At, int Cpu);

/// <summary>A schedule as text, as <c>17>1 45>0</c>: at decision 17 CPU 1 goes on, at 45 CPU 0, else the one that runs.</summary>
internal static class Schedule
{
    public static string ToText(IEnumerable<Deviation> schedule) =>
        string.Join(' ', schedule.Select(d => string.Create(CultureInfo.InvariantCulture, $"{d.At}>{d.Cpu}"))) is { Length: > 0 } text ? text : "none";

    public static IReadOnlyList<Deviation> Parse(string text) =>
        text == "none" ? [] : [.. text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(word => word.Split('>')).Select(parts => new Deviation(int.Parse(parts[0], CultureInfo.InvariantCulture), int.Parse(parts[1], CultureInfo.InvariantCulture)))];

    /// <summary>What a run did other than usual.</summary>
    public static IReadOnlyList<Deviation> Of(IReadOnlyList<Decision> decisions) =>
        [.. decisions.Select((d, at) => (d, at)).Where(x => x.d.Chosen != x.d.Usual).Select(x => new Deviation(x.at, x.d.Chosen))];
}
