using MemSim.Reports.Kernels;

namespace MemSim.Reports.Explaining;

/// <summary>One step of the check that takes lower orders off (before 4.4).</summary>
/// <param name="Order">The order whose blocks are taken off.</param>
/// <param name="Taken">Its free blocks.</param>
/// <param name="Left">Pages left.</param>
/// <param name="Limit">The halved limit.</param>
internal readonly record struct HalvingStep(int Order, long Taken, long Left, long Limit)
{
    public bool Passes => Left > Limit;
}

/// <summary>The watermark check of one zone for one request, as a kernel of the given rules makes it. Counts in pages; null where something is not known.</summary>
internal sealed record ZoneCheck
{
    /// <summary>Pages of a page block where huge pages are as large as a block of the largest order, the usual case of 4 KiB pages.</summary>
    private const long LargestPageblock = 1024;

    public required ZoneFacts Zone { get; init; }

    public required RequestFacts Request { get; init; }

    public required KernelRule Rules { get; init; }

    /// <summary>Free pages that do not count because of the order, the highatomic reserve, CMA.</summary>
    public required long OrderShare { get; init; }

    public required long HighAtomic { get; init; }

    public required long Cma { get; init; }

    /// <summary>The watermark checked against, with its boost, and what the rights leave of it.</summary>
    public required long? Mark { get; init; }

    public required long? Lowered { get; init; }

    public required IReadOnlyList<HalvingStep> Steps { get; init; }

    public long Unusable => OrderShare + HighAtomic + Cma;

    public long? Usable => Zone.Free - Unusable;

    /// <summary>What the usable pages must exceed.</summary>
    public long? Limit => Request.IgnoresWatermarks ? null : Lowered + Zone.Reserve;

    /// <summary>Whether the pages suffice, without regard to blocks; null where it is not known.</summary>
    public bool? HasPages { get; private init; }

    /// <summary>Whether there is a block that is large enough and may be taken; null where it is not known.</summary>
    public bool? HasBlock { get; private init; }

    /// <summary>Pages that were lacking: at the first check or at the order that failed.</summary>
    public long? Missing { get; private init; }

    public bool? Passes => HasPages == false || HasBlock == false ? false : HasPages & HasBlock;

    /// <summary>Makes the check.</summary>
    /// <param name="zone">The zone.</param>
    /// <param name="request">The request.</param>
    /// <param name="rules">The kernel's rules.</param>
    /// <param name="mark">The watermark with its boost; null where it is not known.</param>
    /// <param name="rights">Whether the request's rights count; not so at the high watermark.</param>
    public static ZoneCheck Run(ZoneFacts zone, in RequestFacts request, KernelRule rules, long? mark, bool rights = true)
    {
        long share = (1L << Math.Min(request.Order, 40)) - 1;
        RequestFacts plain = rights ? request : request with { Gfp = request.Gfp & ~(Gfp.High | Gfp.AtomicBit) | Gfp.DirectReclaim };
        long cma = request.TakesCma(rules) ? 0 : zone.Cma;
        long high = (rules & KernelRule.HighAtomicReserve) == 0 || plain.CountsHighAtomic(rules) ? 0 : zone.HighAtomic;
        long? counted = mark is { } value && plain.IgnoresBoost(rules) ? value - zone.Boost : mark;
        long? lowered = counted is { } m ? plain.Lowered(m, rules) : null;

        // Order 0 has a quick check of its own in some kernels, which knows neither rights nor the highatomic reserve.
        if (request.Order == 0 && (rules & KernelRule.QuickOrderZero) != 0 && high != 0 && zone.Free - cma > mark + zone.Reserve)
        {
            high = 0;
        }

        ZoneCheck check = new()
        {
            Zone = zone,
            Request = request,
            Rules = rules,
            OrderShare = share,
            HighAtomic = high,
            Cma = cma,
            Mark = mark,
            Lowered = lowered,
            Steps = [],
        };
        long? blocks = zone.UsableBlocks(request.Order, request, rules);
        check = check with { HasBlock = blocks is { } count ? count > 0 : check.HasSinglePage() };
        if (request.IgnoresWatermarks)
        {
            return check with { HasPages = true, Missing = 0 };
        }

        if (check.Usable is not { } usable || check.Limit is not { } limit)
        {
            return check with { HasPages = zone.Free is { } free && free - share <= 0 ? false : null };
        }

        if (usable <= limit)
        {
            return check with { HasPages = false, Missing = limit + 1 - usable };
        }

        return (rules & KernelRule.HalvesByOrder) != 0 && request.Order > 0 ? check.Halve() : check with { HasPages = true, Missing = 0 };
    }

    /// <summary>Whether a zone whose list is not there has a page for order 0 all the same: more is free than the highatomic reserve, where it may not be taken, can hold. Null where that is not certain.</summary>
    private bool? HasSinglePage()
    {
        if (Request.Order != 0 || Zone.Blocks is not null || Zone.Free is not { } free)
        {
            return null;
        }

        // The reserve is at most 1 % of the zone and a page block.
        long hidden = Request.TakesHighAtomic(Rules) || (Rules & KernelRule.HighAtomicReserve) == 0 ? 0 : Math.Max(Zone.HighAtomic, ((Zone.Managed ?? free) / 100) + LargestPageblock);
        return free - Cma - hidden > 0 ? true : null;
    }

    /// <summary>The rule before 4.4. CMA's pages are taken off at the first check only.</summary>
    private ZoneCheck Halve()
    {
        if (Zone.Blocks is null || (Zone.BlocksAreCut && (Zone.Blocks.Count == 0 || Zone.Blocks[^1].Order < Request.Order - 1)))
        {
            return this with { HasPages = null };
        }

        List<HalvingStep> steps = [];
        long left = Zone.Free!.Value - OrderShare;
        long limit = Lowered!.Value;
        for (int order = 0; order < Request.Order; order++)
        {
            long blocks = Zone.Blocks.FirstOrDefault(b => b.Order == order).Count;
            left -= blocks << order;
            limit >>= 1;
            steps.Add(new HalvingStep(order, blocks, left, limit));
            if (left <= limit)
            {
                return this with { HasPages = false, Missing = limit + 1 - left, Steps = steps };
            }
        }

        return this with { HasPages = true, Missing = 0, Steps = steps };
    }

    /// <summary>Whether it failed only because what is free lies in blocks that are too small.</summary>
    public bool FailsByOrder => Steps.Count != 0 && !Steps[^1].Passes;

    /// <summary>Why the zone fails, in one word; null where it is not known.</summary>
    public Verdict? Reason()
    {
        if (Passes == true)
        {
            return Verdict.Passes;
        }

        if (FailsByOrder)
        {
            return Verdict.Fragmented;
        }

        if (HasBlock == false && (HasPages != false || Request.Order == 0))
        {
            Verdict hidden = Hidden();
            if (hidden != Verdict.Fragmented || HasPages == true)
            {
                return hidden;
            }
        }

        if (HasPages != false)
        {
            return HasPages is null && HasBlock == false ? Hidden() : null;
        }

        if (Usable is not { } usable || Limit is not { } limit)
        {
            return Verdict.Short;
        }

        // What alone makes it fail: the largest of the parts that would have sufficed.
        bool blockOfH = HasBlock == true || Zone.HasType('H', Request.Order);
        bool blockOfC = HasBlock == true || Zone.HasType('C', Request.Order);
        List<(Verdict Verdict, long Pages)> parts = [];
        if (HighAtomic > 0 && usable + HighAtomic > limit && blockOfH)
        {
            parts.Add((Verdict.HighAtomic, HighAtomic));
        }

        if (Cma > 0 && usable + Cma > limit && blockOfC)
        {
            parts.Add((Verdict.Cma, Cma));
        }

        if (Zone.Reserve is > 0 and long reserve && usable + reserve > limit && HasBlock != false)
        {
            parts.Add((Verdict.Reserve, reserve));
        }

        if (parts.Count != 0)
        {
            return parts.MaxBy(p => p.Pages).Verdict;
        }

        return HighAtomic > 0 && Cma > 0 && usable + HighAtomic + Cma > limit ? Cma >= HighAtomic ? Verdict.Cma : Verdict.HighAtomic : Verdict.Short;
    }

    /// <summary>What the blocks that are large enough are, when the request may take none of them.</summary>
    private Verdict Hidden()
    {
        bool high = Zone.HasType('H', Request.Order);
        bool cma = Zone.HasType('C', Request.Order);
        return (high, cma) switch
        {
            (true, true) => Zone.PagesOnlyOf('C', Request.Order) >= Zone.PagesOnlyOf('H', Request.Order) ? Verdict.Cma : Verdict.HighAtomic,
            (true, false) => Verdict.HighAtomic,
            (false, true) => Verdict.Cma,
            _ => Request.Order == 0 ? Verdict.Short : Verdict.Fragmented,
        };
    }
}
