using MemSim.Tool.Recordings;

namespace MemSim.Tool.Plots;

/// <summary>Watches the zones of a machine while a recording is replayed on it: what is free, and what of it is in blocks of use to larger requests.</summary>
internal sealed class RecordingPlot(int every) : IReplayWatcher
{
    private static readonly (int Order, string Color)[] Orders = [(2, "#74a9cf"), (4, "#e08a00"), (9, "#7b3294")];

    private readonly List<(long At, ZoneSample[] Zones)> _samples = [];
    private IReadOnlyList<Zone> _zones = [];
    private IReadOnlyList<(string Name, double YMax, IReadOnlyList<PlotLevel> Levels)> _panels = [];

    /// <inheritdoc/>
    public int? Every => every;

    /// <summary>Whether there was a machine to look at.</summary>
    public bool SawMachine => _zones.Count != 0;

    /// <inheritdoc/>
    public void Before(Machine machine)
    {
        _zones = [.. machine.Zones.Where(z => z.ManagedPages > 0)];
        Sample(0);
    }

    /// <inheritdoc/>
    public void During(Machine machine, long operations) => Sample(operations);

    /// <inheritdoc/>
    public void After(Machine machine)
    {
        Sample(_samples[^1].At + 1);

        // The machine does not outlive its replay.
        bool several = machine.Nodes.Count > 1;
        _panels = [.. _zones.Select((zone, i) => ($"{(several ? $"node {zone.Node.Id} " : "")}{zone.Name}, MiB free", Math.Max(0.1, _samples.Max(s => s.Zones[i].Free) * 1.08), PlotUnits.Watermarks(zone)))];
    }

    /// <summary>The plot of what was seen.</summary>
    public Plot ToPlot(RecordingOutcome outcome) => new(
        outcome.Name,
        $"{outcome.Kind}, {outcome.Operations} operations; rules of {outcome.Kernel}",
        "line of the recording",
        Math.Max(1, _samples[^1].At),
        [],
        [.. _panels.Select((panel, i) => new PlotPanel(panel.Name, panel.YMax, [.. Series(i)], [.. panel.Levels.Where(l => l.Value < panel.YMax)]))]);

    private IEnumerable<PlotSeries> Series(int zone)
    {
        // One entry of the legend serves all panels.
        string Name(string name) => zone == 0 ? name : "";
        yield return new PlotSeries($"free-{zone}", Name("free"), PlotKind.Line, "#1f3b73", [.. _samples.Select(s => new PlotPoint(s.At, s.Zones[zone].Free))]);
        for (int i = 0; i < Orders.Length; i++)
        {
            int at = i;
            yield return new PlotSeries($"free-{zone}-order-{Orders[i].Order}", Name($"of use to order {Orders[i].Order}"), PlotKind.Line, Orders[i].Color, [.. _samples.Select(s => new PlotPoint(s.At, s.Zones[zone].Usable[at]))]);
        }
    }

    private void Sample(long at) => _samples.Add((at, [.. _zones.Select(ZoneSample.Of)]));

    private readonly record struct ZoneSample(double Free, double[] Usable)
    {
        public static ZoneSample Of(Zone zone) => new(
            PlotUnits.MiB(zone.TrueFreePages),
            [.. Orders.Select(o => PlotUnits.MiB(Enumerable.Range(o.Order, PageGeometry.OrderCount - o.Order).Sum(order => zone.FreeBlocks(order) << order)))]);
    }
}
