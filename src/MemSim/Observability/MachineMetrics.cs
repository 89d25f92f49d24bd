using System.Diagnostics.Metrics;
using MemSim.Zones;

namespace MemSim;

/// <summary>Publishes a machine's counters through <see cref="System.Diagnostics.Metrics"/>, meter <c>MemSim</c>. Nothing is measured before a listener asks, and hot paths pay nothing.</summary>
/// <remarks>
/// Instruments: <c>memsim.page.allocations</c> and <c>memsim.page.free</c> (pages), <c>memsim.page.failures</c> (requests), <c>memsim.pcp.refills</c>,
/// <c>memsim.pcp.hits</c> (blocks taken without a refill), <c>memsim.zone.watermark.boost</c> (pages). Those of a zone carry the tags <c>node</c> and <c>zone</c>;
/// all carry <c>machine</c> when the metrics have a name. Reading takes place on the listener's thread, without locks.
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
