namespace MemSim;

/// <summary>A rule of fault injection at work; disposing it ends it.</summary>
public sealed class ArmedFault : IDisposable
{
    /// <summary>Failures that are remembered; older ones are only counted.</summary>
    private const int MostRemembered = 256;

    private readonly PageAllocation.FaultInjector _injector;
    private readonly List<InjectedFault> _faults = [];
    private long _space;
    private ulong _random;

    internal ArmedFault(PageAllocation.FaultInjector injector, FaultRule rule)
    {
        _injector = injector;
        Rule = rule;
        _space = rule.Space;
        _random = rule.Seed == 0 ? 1 : rule.Seed;
    }

    /// <summary>The rule.</summary>
    public FaultRule Rule { get; }

    /// <summary>Requests it applied to since it was armed.</summary>
    public long Seen { get; private set; }

    /// <summary>Requests it made fail.</summary>
    public long Failed { get; private set; }

    /// <summary>What failed, in order; the first 256.</summary>
    public IReadOnlyList<InjectedFault> Faults => _faults;

    /// <summary>Receives every request that the rule applied to; null when nobody wants to know.</summary>
    internal List<InjectedFault>? Requests { get; set; }

    /// <summary>Ends the rule; twice is once.</summary>
    public void Dispose() => _injector.Disarm(this);

    /// <summary>Whether a request fails by this rule; counts it.</summary>
    /// <param name="cpu">The CPU on which it is made.</param>
    /// <param name="point">Where.</param>
    /// <param name="gfp">Its flags.</param>
    /// <param name="order">log2 of its pages.</param>
    /// <param name="cache">The cache asked, or empty.</param>
    /// <param name="bytes">Bytes asked for.</param>
    internal bool ShouldFail(Cpu cpu, FaultPoints point, Gfp gfp, int order, string cache, long bytes)
    {
        if (!Applies(cpu, point, gfp, order, cache))
        {
            return false;
        }

        Seen++;
        Requests?.Add(RequestOf(cpu, point, gfp, order, cache, bytes));
        long size = point switch
        {
            FaultPoints.FailPageAlloc => 1L << Math.Min(order, 62),
            FaultPoints.FailSlab => bytes,
            _ => 1, // copies count, not their bytes
        };
        if (Seen < Rule.First || Failed == Rule.Times)
        {
            return false;
        }

        if (_space > size)
        {
            _space -= size;
            return false;
        }

        if ((Seen - Rule.First + 1) % Rule.Interval != 0 || !Strikes())
        {
            return false;
        }

        Failed++;
        if (_faults.Count < MostRemembered)
        {
            _faults.Add(RequestOf(cpu, point, gfp, order, cache, bytes));
        }

        return true;
    }

    private InjectedFault RequestOf(Cpu cpu, FaultPoints point, Gfp gfp, int order, string cache, long bytes) =>
        new(point, Seen, gfp, order, cache, bytes, cpu.CurrentCallSite, cpu.Current);

    private bool Applies(Cpu cpu, FaultPoints point, Gfp gfp, int order, string cache) =>
        (Rule.Points & point) != 0
        && (gfp & Rule.With) == Rule.With
        && (gfp & Rule.Without) == 0
        && order >= Rule.MinOrder && order <= Rule.MaxOrder
        && (Rule.Cache is null || (point == FaultPoints.FailSlab && Rule.Cache == cache))
        && (Rule.Task is null || (ReferenceEquals(Rule.Task, cpu.Current) && !cpu.Context.InInterrupt))
        && (Rule.CallSite is null || IsAt(cpu.CurrentCallSite, Rule.CallSite))
        && (Rule.Zone is null || (point != FaultPoints.FailUsercopy && cpu.Machine.Architecture.ZoneTypes[GfpZones.HighestZoneIndex(gfp, cpu.Machine.Architecture)] == Rule.Zone));

    private static bool IsAt(string site, string wanted) =>
        site.StartsWith(wanted, StringComparison.Ordinal) && (site.Length == wanted.Length || site[wanted.Length] == '+');

    /// <summary>One draw of the rule's own xorshift64.</summary>
    private bool Strikes()
    {
        if (Rule.Probability >= 100)
        {
            return true;
        }

        _random ^= _random << 13;
        _random ^= _random >> 7;
        _random ^= _random << 17;
        return (_random >> 11) * (100.0 / (1UL << 53)) < Rule.Probability;
    }
}
