using System.Diagnostics.Metrics;
using MemSim.Statistics;
using MemSim.Zones;

namespace MemSim;

/// <summary>Publishes a machine's counters through <see cref="System.Diagnostics.Metrics"/>, meter <c>MemSim</c>. Nothing is measured before a listener asks, and hot paths pay nothing.</summary>
/// <remarks>
/// Instruments: <c>memsim.page.allocations</c> and <c>memsim.page.free</c> (pages), <c>memsim.page.failures</c> (requests), <c>memsim.pcp.refills</c>,
/// <c>memsim.pcp.hits</c> (blocks taken without a refill), <c>memsim.zone.watermark.boost</c> (pages): those of a zone carry the tags <c>node</c> and <c>zone</c>.
/// <c>memsim.slab.pages</c> (tags <c>node</c>, <c>reclaimable</c>), <c>memsim.slab.failures</c> (objects), <c>memsim.kswapd.wakeups</c> (tag <c>node</c>),
/// <c>memsim.reclaim.scanned</c> and <c>memsim.reclaim.freed</c> (pages, tag <c>by</c>: <c>kswapd</c>, <c>direct</c>), <c>memsim.reclaim.stalls</c> (requests that reclaimed for themselves),
/// <c>memsim.faults</c> (tag <c>kind</c>: <c>minor</c>, <c>major</c>), <c>memsim.swap.in</c>, <c>memsim.swap.out</c>, <c>memsim.swap.used</c> (pages), <c>memsim.compaction.moved</c> (pages),
/// <c>memsim.oom.kills</c> (processes). All carry <c>machine</c> when the metrics have a name. Reading takes place on the listener's thread, without locks.
/// </remarks>
public sealed class MachineMetrics : IDisposable
{
    /// <summary>The meter's name.</summary>
    public const string MeterName = "MemSim";

    private readonly Machine _machine;
    private readonly string? _name;
    private readonly Meter _meter = new(MeterName);

    /// <summary>Publishes the counters of a machine until disposed.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="name">Tells several machines apart; null for none.</param>
    public MachineMetrics(Machine machine, string? name = null)
    {
        ArgumentNullException.ThrowIfNull(machine);
        _machine = machine;
        _name = name;
        _meter.CreateObservableCounter("memsim.page.allocations", () => PerZone(static z => z.Pcp.Sum(p => p.PagesAllocated)), "{page}", "Pages allocated since the boot");
        _meter.CreateObservableCounter("memsim.page.failures", () => new Measurement<long>(_machine.Reports.AllocationFailures, Tags()), "{request}", "Requests for pages that failed");
        _meter.CreateObservableGauge("memsim.page.free", () => PerZone(static z => z.TrueFreePages), "{page}", "Pages in the free lists");
        _meter.CreateObservableCounter("memsim.pcp.refills", () => PerZone(static z => z.Pcp.Sum(p => p.Refills)), "{refill}", "Refills of per-CPU page lists from the free lists");
        _meter.CreateObservableCounter("memsim.pcp.hits", () => PerZone(Hits), "{block}", "Blocks allocated without a refill of a per-CPU list");
        _meter.CreateObservableGauge("memsim.zone.watermark.boost", () => PerZone(static z => z.WatermarkBoost), "{page}", "Pages added to the zone's watermarks because of fragmentation");
        PublishSlabs();
        PublishReclaim();
    }

    /// <summary>Stops publishing.</summary>
    public void Dispose() => _meter.Dispose();

    /// <summary>Allocations are counted once each by where they were wanted: hits and misses together are all blocks of the zone.</summary>
    private static long Hits(Zone zone)
    {
        long hits = 0;
        foreach (PerCpuPages pcp in zone.Pcp)
        {
            hits += Math.Max(0, pcp.NumaHit + pcp.NumaMiss - pcp.Refills);
        }

        return hits;
    }

    private void PublishSlabs()
    {
        _meter.CreateObservableGauge("memsim.slab.pages", SlabPages, "{page}", "Pages of slabs, and of kmalloc objects too large for one");
        _meter.CreateObservableCounter("memsim.slab.failures", () => One(_machine.Slab.AllocationFailures), "{object}", "Objects that could not be allocated");
    }

    private void PublishReclaim()
    {
        _meter.CreateObservableCounter("memsim.kswapd.wakeups", () => _machine.Nodes.Select(n => One(n.KswapdWakeups, KeyValuePair.Create("node", (object?)n.Id))), "{wakeup}", "Times a node's kswapd was woken");
        _meter.CreateObservableCounter("memsim.reclaim.scanned", () => Two("by", ("kswapd", VmEvent.ScanKswapd), ("direct", VmEvent.ScanDirect)), "{page}", "Pages that reclaim looked at");
        _meter.CreateObservableCounter("memsim.reclaim.freed", () => Two("by", ("kswapd", VmEvent.StealKswapd), ("direct", VmEvent.StealDirect)), "{page}", "Pages that reclaim freed");
        _meter.CreateObservableCounter("memsim.reclaim.stalls", () => One(Enum.GetValues<ZoneType>().Sum(_machine.Events.AllocStalls)), "{request}", "Requests that had to reclaim for themselves");
        _meter.CreateObservableCounter("memsim.faults", Faults, "{fault}", "Page faults");
        _meter.CreateObservableCounter("memsim.swap.in", () => One(_machine.Events[VmEvent.SwapIn]), "{page}", "Pages read from swap");
        _meter.CreateObservableCounter("memsim.swap.out", () => One(_machine.Events[VmEvent.SwapOut]), "{page}", "Pages written to swap");
        _meter.CreateObservableGauge("memsim.swap.used", () => One(_machine.Swap.TotalPages - _machine.Swap.FreePages), "{page}", "Slots of swap in use");
        _meter.CreateObservableCounter("memsim.compaction.moved", () => One(_machine.Events[VmEvent.MigrateSuccess]), "{page}", "Pages that were moved, by compaction or others");
        _meter.CreateObservableCounter("memsim.oom.kills", () => One(_machine.Events[VmEvent.OomKill]), "{process}", "Processes that the OOM killer ended");
    }

    private List<Measurement<long>> SlabPages() =>
    [
        .. _machine.Nodes.Select(n => One(_machine.Slab.ReclaimablePages(n.Id), KeyValuePair.Create("node", (object?)n.Id), KeyValuePair.Create("reclaimable", (object?)true))),
        .. _machine.Nodes.Select(n => One(_machine.Slab.UnreclaimablePages(n.Id), KeyValuePair.Create("node", (object?)n.Id), KeyValuePair.Create("reclaimable", (object?)false))),
    ];

    private Measurement<long>[] Faults()
    {
        long major = _machine.Events[VmEvent.MajorFault];
        return [One(_machine.Events[VmEvent.Fault] - major, KeyValuePair.Create("kind", (object?)"minor")), One(major, KeyValuePair.Create("kind", (object?)"major"))];
    }

    private Measurement<long>[] Two(string tag, params (string Value, VmEvent Event)[] figures) => [.. figures.Select(f => One(_machine.Events[f.Event], KeyValuePair.Create(tag, (object?)f.Value)))];

    private Measurement<long> One(long value, params KeyValuePair<string, object?>[] tags) => new(value, [.. tags, .. Tags()]);

    private List<Measurement<long>> PerZone(Func<Zone, long> figure)
    {
        List<Measurement<long>> measurements = [];
        foreach (Zone zone in _machine.Zones)
        {
            if (zone.IsPopulated)
            {
                measurements.Add(new Measurement<long>(figure(zone), [new("node", zone.Node.Id), new("zone", zone.Name), .. Tags()]));
            }
        }

        return measurements;
    }

    private KeyValuePair<string, object?>[] Tags() => _name is null ? [] : [new("machine", _name)];
}
