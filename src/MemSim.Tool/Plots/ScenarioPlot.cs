using MemSim.Scenarios;

namespace MemSim.Tool.Plots;

/// <summary>Makes a plot of a scenario's samples: where memory went, and what the kernel had to do for it.</summary>
internal static class ScenarioPlot
{
    private static readonly (string Id, string Name, string Color, Func<ScenarioSample, long> Pages)[] Uses =
    [
        ("slab", "slab", "#8c6bb1", s => s.SlabPages),
        ("page-tables", "page tables", "#666666", s => s.PageTablePages),
        ("file", "file", "#6baed6", s => s.FilePages),
        ("anon", "anonymous", "#fd8d3c", s => s.AnonPages),
        ("free", "free", "#d9f0d3", s => s.FreePages),
    ];

    // Events from one sample to the next.
    private static readonly (string Id, string Name, string Color, Func<ScenarioSample, long> Count)[] Work =
    [
        ("faults", "faults", "#1f3b73", s => s.Faults),
        ("major-faults", "major faults", "#d62728", s => s.MajorFaults),
        ("reclaimed", "pages reclaimed", "#2ca02c", s => s.PagesReclaimed),
        ("swapped-out", "swapped out", "#e08a00", s => s.SwappedOut),
        ("swapped-in", "swapped in", "#7b3294", s => s.SwappedIn),
    ];

    /// <summary>Makes the plot.</summary>
    /// <param name="name">The scenario's name.</param>
    /// <param name="report">What came of it.</param>
    public static Plot Of(string name, ScenarioReport report)
    {
        IReadOnlyList<ScenarioSample> samples = report.Samples;
        List<PlotPhase> phases = [];
        foreach (ScenarioSample sample in samples.Where(s => s.Phase.Length != 0))
        {
            if (phases.Count == 0 || phases[^1].Name != sample.Phase)
            {
                phases.Add(new PlotPhase(sample.Touches, sample.Phase));
            }
        }

        double top = samples.Max(s => Uses.Sum(u => PlotUnits.MiB(u.Pages(s))));
        double swap = samples.Max(s => PlotUnits.MiB(s.SwapUsedPages));
        return new Plot(
            name,
            $"seed {report.Seed}: {report.Last.Faults} faults ({report.Last.MajorFaults} major), {report.Last.PagesReclaimed} pages reclaimed, {report.Last.SwappedOut} swapped out, {report.Last.OomKills} OOM kills",
            "pages touched",
            Math.Max(1, samples[^1].Touches),
            phases,
            [
                new PlotPanel(
                    "memory, MiB",
                    Math.Max(top, swap) * 1.05,
                    [
                        .. Uses.Select(u => new PlotSeries(u.Id, u.Name, PlotKind.Band, u.Color, [.. samples.Select(s => new PlotPoint(s.Touches, PlotUnits.MiB(u.Pages(s))))])),
                        new("swap-used", "swap used", PlotKind.DottedLine, "#000000", [.. samples.Select(s => new PlotPoint(s.Touches, PlotUnits.MiB(s.SwapUsedPages)))]),
                        .. Zswap(samples),
                        .. Kills(samples, top),
                    ],
                    []),
                .. Cgroups(samples),
                Rates(samples),
            ]);
    }

    /// <summary>What each cgroup has in memory and in swap; no panel without cgroups.</summary>
    private static IEnumerable<PlotPanel> Cgroups(IReadOnlyList<ScenarioSample> samples)
    {
        string[] colors = ["#1f3b73", "#d62728", "#2ca02c", "#e08a00", "#7b3294"];
        List<PlotSeries> series = [];
        IReadOnlyList<ScenarioCgroupSample> first = samples[0].Cgroups;
        for (int i = 0; i < first.Count; i++)
        {
            int at = i;
            string color = colors[i % colors.Length];
            PlotPoint[] swap = [.. samples.Select(s => new PlotPoint(s.Touches, PlotUnits.MiB(s.Cgroups[at].SwapPages)))];
            series.Add(new PlotSeries($"cgroup-{i}", first[i].Path, PlotKind.Line, color, [.. samples.Select(s => new PlotPoint(s.Touches, PlotUnits.MiB(s.Cgroups[at].Pages)))]));
            if (Array.Exists(swap, p => p.Y != 0))
            {
                series.Add(new PlotSeries($"cgroup-{i}-swap", first[i].Path + " in swap", PlotKind.DottedLine, color, swap));
            }
        }

        return series.Count == 0 ? [] : [new PlotPanel("cgroups, MiB", Math.Max(1, series.SelectMany(s => s.Points).Max(p => p.Y) * 1.05), series, [])];
    }

    /// <summary>What zswap keeps, and the memory it takes for that; nothing where it keeps nothing.</summary>
    private static IEnumerable<PlotSeries> Zswap(IReadOnlyList<ScenarioSample> samples) => samples.All(s => s.ZswapStoredPages == 0) ? [] :
    [
        new("zswapped", "in zswap", PlotKind.DottedLine, "#7b3294", [.. samples.Select(s => new PlotPoint(s.Touches, PlotUnits.MiB(s.ZswapStoredPages)))]),
        new("zswap-pool", "zswap's memory", PlotKind.Line, "#7b3294", [.. samples.Select(s => new PlotPoint(s.Touches, PlotUnits.MiB(s.ZswapPoolPages)))]),
    ];

    private static PlotPanel Rates(IReadOnlyList<ScenarioSample> samples)
    {
        List<PlotSeries> series = [];
        foreach ((string id, string name, string color, Func<ScenarioSample, long> count) in Work)
        {
            PlotPoint[] points = [.. samples.Zip(samples.Skip(1), (from, to) => new PlotPoint(to.Touches, count(to) - count(from)))];
            if (Array.Exists(points, p => p.Y != 0))
            {
                series.Add(new PlotSeries(id, name, PlotKind.Line, color, points));
            }
        }

        return new PlotPanel("events, each sample", Math.Max(1, series.SelectMany(s => s.Points).Select(p => p.Y).DefaultIfEmpty().Max() * 1.05), series, []);
    }

    private static IEnumerable<PlotSeries> Kills(IReadOnlyList<ScenarioSample> samples, double top)
    {
        PlotPoint[] kills = [.. samples.Zip(samples.Skip(1)).Where(s => s.Second.OomKills > s.First.OomKills).Select(s => new PlotPoint(s.Second.Touches, top))];
        return kills.Length == 0 ? [] : [new PlotSeries("oom-kills", "OOM kill", PlotKind.CrossMark, "#000000", kills)];
    }
}
