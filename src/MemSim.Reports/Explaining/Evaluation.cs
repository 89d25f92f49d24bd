using MemSim.Reports.Kernels;

namespace MemSim.Reports.Explaining;

/// <summary>One request on the zones of a report by one kernel's rules: who may be tried, who passes, and what changes that.</summary>
internal sealed class Evaluation
{
    /// <summary>Zones smaller than this part of the largest one do not give the reason.</summary>
    private const int TinyShare = 16;

    private Evaluation(RequestFacts request, KernelRule rules, List<Candidate> zones, bool isOom, bool isQuestion)
    {
        IsQuestion = isQuestion;
        Request = request;
        Rules = rules;
        Zones = zones;
        IsOom = isOom;
    }

    public RequestFacts Request { get; }

    public KernelRule Rules { get; }

    /// <summary>The zones with memory, in the order in which they are tried; then those that may not be used.</summary>
    public List<Candidate> Zones { get; }

    /// <summary>Whether the OOM killer was called: then a try against the high watermark failed last.</summary>
    public bool IsOom { get; }

    /// <summary>Whether nothing failed: somebody asks what a request would meet.</summary>
    public bool IsQuestion { get; }

    /// <summary>Whether the text has every zone the request may use, and none of them has memory.</summary>
    public bool HasNoMemory { get; private init; }

    /// <summary>Zones that the request may use and that have memory, of which the text has no line: it is cut off.</summary>
    public IReadOnlyList<MissingZone> Missing { get; private init; } = [];

    /// <summary>Whether the request asks for more than the largest block of this kernel: no zone can ever have it.</summary>
    public bool IsBeyondLargest { get; private init; }

    /// <summary>Whether a zone the request may use is not known well enough to say that it refuses.</summary>
    public bool IsUndecided => !IsBeyondLargest && (Missing.Count != 0 || Eligible.Any(z => z.Check.Passes is null));

    public IEnumerable<Candidate> Eligible => Zones.Where(z => z.Eligible != false);

    /// <summary>Sets up the evaluation of a request.</summary>
    public static Evaluation Of(KernelReport report, RequestFacts request, KernelRule rules, ZoneIndexes indexes, int pageKiB, bool hasRequest = true, bool isAnywhere = false)
    {
        int highest = hasRequest ? indexes.Highest(request.Gfp) : -1;
        NodeSet policy = isAnywhere ? NodeSet.All : NodeSet.Parse(report.NodeMask);
        NodeSet cpuset = (request.Gfp & Gfp.HardWall) != 0 && !isAnywhere ? NodeSet.Parse(report.MemsAllowed) : NodeSet.All;
        int nodes = report.Zones.Where(z => !z.IsEmpty).Select(z => z.Node).Distinct().Count();
        List<Candidate> zones = [];
        foreach (ReportedZone zone in report.Zones)
        {
            if (zone.IsEmpty)
            {
                continue;
            }

            ZoneFacts facts = FactsOf.Zone(report, zone, indexes, highest, rules, pageKiB);
            bool inReach = facts.Index >= 0 && facts.Index <= highest && zone.Name != "Device";
            bool allowed = policy.Has(zone.Node) && cpuset.Has(zone.Node);
            bool? eligible = !hasRequest ? null : !inReach || !allowed ? false : (request.Gfp & Gfp.ThisNode) != 0 && nodes > 1 ? null : true;
            ZoneCheck check = ZoneCheck.Run(facts, request, rules, facts.Min);
            zones.Add(new Candidate(facts, eligible, inReach && !allowed, check));
        }

        int largest = Completeness.LargestOrder(report);

        // The kernel tries higher zones first; which node is the nearest is not printed.
        return new Evaluation(request, rules, [.. zones.OrderBy(z => z.Eligible == false).ThenByDescending(z => z.Facts.Index).ThenBy(z => z.Facts.Node)], report.Kind == ReportKind.Oom && report.Head == ReportHead.OomKiller, report.IsFromProc)
        {
            Missing = hasRequest ? [.. Completeness.Missing(report, indexes).Where(m => m.Index <= highest && policy.Has(m.Node) && cpuset.Has(m.Node))] : [],
            IsBeyondLargest = hasRequest && largest >= 0 && request.Order > largest,
            HasNoMemory = hasRequest && !zones.Exists(z => z.Eligible != false || z.Forbidden) && report.Zones.Any(z => z.IsEmpty && indexes.Of(z.Name) >= 0 && indexes.Of(z.Name) <= highest),
        };
    }

    /// <summary>The same without the zones that pass as printed: what must have failed.</summary>
    public Evaluation WithoutPassing() => new(Request, Rules, [.. Zones.Where(z => z.Check.Passes != true)], IsOom, IsQuestion) { Missing = Missing, IsBeyondLargest = IsBeyondLargest };

    /// <summary>Whether the request would pass if it or the zones were otherwise; null where that cannot be known.</summary>
    public bool? Would(RequestFacts request, Func<ZoneFacts, ZoneFacts>? change = null, KernelRule? rules = null)
    {
        bool unknown = Missing.Count != 0;
        foreach (Candidate zone in Eligible)
        {
            ZoneFacts facts = change is null ? zone.Facts : change(zone.Facts);
            bool? passes = ZoneCheck.Run(facts, request, rules ?? Rules, facts.Min).Passes;
            if (passes == true)
            {
                return true;
            }

            unknown |= passes is null;
        }

        return unknown ? null : false;
    }

    /// <summary>The same with the request unchanged.</summary>
    public bool? Would(Func<ZoneFacts, ZoneFacts> change) => Would(Request, change);

    /// <summary>The check against the high watermark, without rights, that the OOM path makes last.</summary>
    public ZoneCheck AgainstHigh(Candidate zone) => ZoneCheck.Run(zone.Facts, Request, Rules, zone.Facts.High, rights: false);

    /// <summary>The answer in one word, and the zone that gives it; null for the zone where none does.</summary>
    public (Verdict Verdict, Candidate? Zone) Decide()
    {
        List<Candidate> tried = [.. Eligible];
        if (tried.Count == 0)
        {
            return Zones.Any(z => z.Forbidden && z.Check.Passes == true) ? (Verdict.Policy, Zones.First(z => z.Forbidden && z.Check.Passes == true)) : (HasNoMemory && Missing.Count == 0 ? Verdict.Short : Verdict.Undecidable, null);
        }

        List<Candidate> own = OfNodesThatFail(tried);
        if (own.Count != 0)
        {
            Candidate first = Main(own, z => z.Check.Reason() is not null);
            return (first.Check.Reason() ?? Verdict.Undecidable, first);
        }

        if (tried.Find(z => z.Check.Passes == true) is { } passing)
        {
            if (IsOom && tried.TrueForAll(z => AgainstHigh(z).Passes == false))
            {
                if (Missing.Count != 0)
                {
                    return (Verdict.Undecidable, null);
                }

                Candidate closest = Main(tried, z => AgainstHigh(z).Reason() is not null);
                return (AgainstHigh(closest).Reason() ?? Verdict.Passes, closest);
            }

            return (Verdict.Passes, passing);
        }

        // A zone of which too little is known could have let it pass.
        if (IsQuestion && tried.Find(z => z.Check.Passes is null) is { } unknown)
        {
            return (Verdict.Undecidable, unknown);
        }

        // What is tried first gives the reason; where it is missing or not known, a lower zone's refusal is none.
        if (!IsBeyondLargest)
        {
            if (Missing.Count != 0)
            {
                return (Verdict.Undecidable, null);
            }

            // Where the list is whole and only the head with the watermarks is missing, what the blocks of the others tell is worth saying.
            Candidate reason = Main(tried, static z => z.Check.Reason() is not null);
            if (tried.TakeWhile(z => z != reason).FirstOrDefault(static z => z.Check.Reason() is null && (z.Facts.Blocks is null || z.Facts.BlocksAreCut)) is { } untold)
            {
                return (Verdict.Undecidable, untold);
            }
        }

        if (Zones.Find(z => z.Forbidden && z.Check.Passes == true) is { } elsewhere)
        {
            return (Verdict.Policy, elsewhere);
        }

        Candidate main = Main(tried, z => z.Check.Reason() is not null);
        return (main.Check.Reason() ?? Verdict.Undecidable, main);
    }

    /// <summary>A request for one node only does not say which; where some nodes fail and some pass, it was one of those that fail.</summary>
    /// <returns>The zones of these nodes; empty where all nodes are alike, or the request may go to any.</returns>
    public List<Candidate> OfNodesThatFail(List<Candidate> tried)
    {
        if ((Request.Gfp & Gfp.ThisNode) == 0)
        {
            return [];
        }

        List<Candidate> failing = [.. tried.GroupBy(z => z.Facts.Node).Where(n => n.All(z => z.Check.Passes == false)).SelectMany(n => n)];
        return failing.Count == tried.Count ? [] : failing;
    }

    /// <summary>The zone that gives the reason: the first one tried that is known and not tiny.</summary>
    private static Candidate Main(List<Candidate> tried, Func<Candidate, bool> known)
    {
        List<Candidate> some = [.. tried.Where(known)];
        if (some.Count == 0)
        {
            return tried[0];
        }

        long largest = some.Max(z => z.Facts.Managed ?? 0);
        return some.Find(z => (z.Facts.Managed ?? long.MaxValue / TinyShare) * TinyShare >= largest) ?? some[0];
    }
}

/// <summary>A zone in the light of a request.</summary>
/// <param name="Facts">What is known of it.</param>
/// <param name="Eligible">Whether the request may use it; null where the text does not tell.</param>
/// <param name="Forbidden">Whether only a policy or cpuset forbids it.</param>
/// <param name="Check">The check at the min watermark.</param>
internal sealed record Candidate(ZoneFacts Facts, bool? Eligible, bool Forbidden, ZoneCheck Check);

/// <summary>A set of nodes as printed: <c>0-1,3</c>.</summary>
internal readonly struct NodeSet
{
    private readonly List<(int First, int Last)>? _ranges;

    private NodeSet(List<(int, int)>? ranges)
    {
        _ranges = ranges;
    }

    public static NodeSet All => default;

    public static NodeSet Parse(string? text)
    {
        if (string.IsNullOrEmpty(text))
        {
            return All;
        }

        List<(int, int)> ranges = [];
        foreach (string part in text.Split(','))
        {
            string[] ends = part.Split('-');
            if (int.TryParse(ends[0], out int first) && int.TryParse(ends[^1], out int last))
            {
                ranges.Add((first, last));
            }
        }

        return ranges.Count == 0 ? All : new NodeSet(ranges);
    }

    public bool Has(int node) => _ranges is null || _ranges.Exists(r => node >= r.First && node <= r.Last);
}
