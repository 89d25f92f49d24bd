namespace MemSim.Reports.Kernels;

/// <summary>Which zones a kernel is built with, in the order of its indexes: reports print only some of them, but as many numbers of <c>lowmem_reserve[]</c> as there are.</summary>
internal sealed class ZoneIndexes
{
    private static readonly string[] Types = ["DMA", "DMA32", "Normal", "HighMem", "Movable", "Device"];

    private readonly List<string> _names;

    private ZoneIndexes(List<string> names)
    {
        _names = names;
    }

    /// <summary>How many zones a node can have.</summary>
    public int Count => _names.Count;

    /// <summary>The names by index.</summary>
    public IReadOnlyList<string> Names => _names;

    /// <summary>The index of a zone, or -1 for a name that is unknown.</summary>
    public int Of(string name) => _names.IndexOf(name);

    /// <summary>The highest index a request may use.</summary>
    public int Highest(Gfp gfp)
    {
        int normal = Math.Max(0, Of("Normal"));
        int Or(string name) => Of(name) is >= 0 and int index ? index : normal;
        if ((gfp & Gfp.Dma) != 0)
        {
            return Or("DMA");
        }

        if ((gfp & Gfp.Dma32) != 0)
        {
            return Or("DMA32");
        }

        if ((gfp & Gfp.HighMem) == 0)
        {
            return normal;
        }

        return (gfp & Gfp.Movable) != 0 && Of("Movable") is >= 0 and int movable ? movable : Or("HighMem");
    }

    /// <summary>Finds the zones that fit what a report prints.</summary>
    public static ZoneIndexes Of(KernelReport report, KernelRange kernels)
    {
        HashSet<string> printed = new(report.Zones.Select(z => z.Name), StringComparer.Ordinal);
        int count = report.Zones.Select(z => z.LowmemReserve?.Count ?? 0).DefaultIfEmpty(0).Max();
        bool movable = kernels.To >= new KernelRelease(2, 6, 23);
        (int Penalty, List<string> Names) best = (int.MaxValue, []);
        for (int set = 1; set < 1 << Types.Length; set++)
        {
            List<string> names = [];
            for (int i = 0; i < Types.Length; i++)
            {
                if ((set >> i & 1) != 0)
                {
                    names.Add(Types[i]);
                }
            }

            if ((count != 0 && names.Count != count) || printed.Any(p => Array.IndexOf(Types, p) >= 0 && !names.Contains(p)))
            {
                continue;
            }

            int penalty = Unlikely(names, printed, kernels, movable) + (20 * Contradictions(report, names));
            if (penalty < best.Penalty)
            {
                best = (penalty, names);
            }
        }

        return best.Names.Count != 0 ? new ZoneIndexes(best.Names) : new ZoneIndexes([.. printed]);
    }

    /// <summary>How unlikely a set of zones is for what is printed.</summary>
    private static int Unlikely(List<string> names, HashSet<string> printed, KernelRange kernels, bool movable)
    {
        int penalty = 0;
        foreach (string type in Types)
        {
            bool has = names.Contains(type);
            bool shown = printed.Contains(type);
            penalty += (type, has, shown) switch
            {
                ("Normal", false, _) => 9,
                ("Movable", false, _) => movable ? 8 : 0,
                ("Movable", true, false) => movable ? 0 : 9,
                ("Device", true, false) => kernels.To >= new KernelRelease(4, 3) ? 2 : 30,
                ("HighMem", true, false) => printed.Contains("DMA32") ? kernels.From < new KernelRelease(2, 6, 23) ? 1 : 12 : 3,
                ("DMA32", true, false) => kernels.From < new KernelRelease(2, 6, 19) ? 2 : printed.Contains("HighMem") ? 9 : 5,
                ("DMA", true, false) => 6,
                _ => 0,
            };
        }

        return penalty;
    }

    /// <summary>How often the reserves contradict a set of zones: a zone keeps nothing from requests for itself, and more with each zone above that has memory.</summary>
    private static int Contradictions(KernelReport report, List<string> names)
    {
        int wrong = 0;
        foreach (ReportedZone zone in report.Zones)
        {
            int own = names.IndexOf(zone.Name);
            if (own < 0 || zone.LowmemReserve is not { } reserve || zone.IsEmpty)
            {
                continue;
            }

            for (int i = 0; i < Math.Min(reserve.Count, names.Count); i++)
            {
                if (i <= own)
                {
                    wrong += reserve[i] != 0 ? 1 : 0;
                    continue;
                }

                // Only where this zone keeps back anything at all do the steps tell.
                bool has = report.Zone(zone.Node, names[i]) is { IsEmpty: false };
                bool step = reserve[i] > reserve[i - 1];
                wrong += reserve[^1] != 0 && names[i] != "Device" && has != step && (step || (report.Zone(zone.Node, names[i])!.KiB("managed") ?? report.Zone(zone.Node, names[i])!.KiB("present") ?? 0) > 1 << 16) ? 1 : 0;
            }
        }

        return wrong;
    }
}
