using System.Globalization;
using MemSim.Reports.Kernels;

namespace MemSim.Reports.Explaining;

/// <summary>Which zones a report must have had and has not: a log that was cut (<c>head</c>, a small ring buffer) reads like the log of a smaller machine.</summary>
internal static class Completeness
{
    /// <summary>The zones with memory that have no line of their own.</summary>
    /// <remarks>
    /// <c>lowmem_reserve[j]</c> of a zone is the sum of the managed pages of the zones above it up to <c>j</c>, divided by the zone's ratio
    /// (<c>setup_per_zone_lowmem_reserve()</c>): where it grows from one index to the next, the zone of that index has pages.
    /// </remarks>
    public static List<MissingZone> Missing(KernelReport report, ZoneIndexes indexes)
    {
        List<MissingZone> missing = [];
        foreach ((int node, string name) in report.MixedZones)
        {
            if (report.Zone(node, name) is null && indexes.Of(name) is >= 0 and int at)
            {
                missing.Add(new MissingZone(node, name, at) { IsMixed = true });
            }
        }

        if (report.HasProtections || report.IsFromProc)
        {
            return missing;
        }

        foreach (ReportedZone zone in report.Zones)
        {
            int own = indexes.Of(zone.Name);
            if (own < 0 || zone.LowmemReserve is not { } reserve)
            {
                continue;
            }

            for (int index = own + 1; index < Math.Min(reserve.Count, indexes.Count); index++)
            {
                string name = indexes.Names[index];
                if (reserve[index] > reserve[index - 1] && name != "Device" && report.Zone(zone.Node, name) is null && !missing.Exists(m => m.Node == zone.Node && m.Name == name))
                {
                    missing.Add(new MissingZone(zone.Node, name, index));
                }
            }
        }

        return missing;
    }

    /// <summary>The largest order a kernel's free lists have; -1 where no whole list is in the text.</summary>
    public static int LargestOrder(KernelReport report) =>
        report.Zones.Where(z => !z.BlocksAreCut).SelectMany(z => z.Blocks ?? []).Select(b => b.Order).DefaultIfEmpty(-1).Max();

    /// <summary>Says which zones are missing.</summary>
    public static string Text(IReadOnlyCollection<MissingZone> missing)
    {
        MissingZone[] cut = [.. missing.Where(static m => !m.IsMixed)];
        MissingZone[] mixed = [.. missing.Where(static m => m.IsMixed)];
        string ofCut = cut.Length == 0 ? "" : $"the report is cut off: lowmem_reserve[] shows that {string.Join(" and ", cut)} {(cut.Length == 1 ? "has memory, but its line is" : "have memory, but their lines are")} not in the text";
        string ofMixed = mixed.Length == 0 ? "" : $"the report is mixed with another one: the lines of {string.Join(" and ", mixed)} may be of either";
        return ofCut.Length != 0 && ofMixed.Length != 0 ? $"{ofCut}, and {ofMixed}" : ofCut + ofMixed;
    }
}

/// <summary>A zone that has memory and no line.</summary>
/// <param name="Node">Its node.</param>
/// <param name="Name">Its name.</param>
/// <param name="Index">Its index on this kernel.</param>
internal readonly record struct MissingZone(int Node, string Name, int Index)
{
    /// <summary>Whether there are lines, but nothing tells whether they are of this report or of another one.</summary>
    public bool IsMixed { get; init; }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"Node {Node} {Name}");
}
