using System.Globalization;
using MemSim.Reports.Kernels;

namespace MemSim.Reports.Explaining;

/// <summary>Puts the answer for a request into words.</summary>
internal static class RequestExplanation
{
    private static readonly CultureInfo Plain = CultureInfo.InvariantCulture;

    public static void Fill(ReportExplanation to, Evaluation evaluation, ZoneIndexes indexes, int pageKiB)
    {
        KernelReport report = to.Report;
        List<string> why = to.WhyList;
        Candidate? zone = evaluation.Decide().Zone;
        int largest = Completeness.LargestOrder(report);
        if (evaluation.IsBeyondLargest)
        {
            why.Add(string.Create(Plain, $"A block of order {evaluation.Request.Order} ({Amount.Block(evaluation.Request.Order, pageKiB)}) cannot exist on this kernel: its lists end at order {largest} ({Amount.Block(largest, pageKiB)}). The request can never succeed."));
        }
        else if (to.Verdict == Verdict.Undecidable && evaluation.Missing.Count != 0)
        {
            why.Add($"cannot be decided, because {Completeness.Text(evaluation.Missing)}: take the whole of dmesg.");
        }

        if (zone is not null)
        {
            why.Add(Sentence(to.Verdict, zone, evaluation, pageKiB));
        }
        else if (why.Count != 0)
        {
            // Said already.
        }
        else if (Unpopulated(report, indexes, evaluation) is { } unpopulated)
        {
            why.Add(unpopulated);
        }
        else
        {
            why.Add("cannot be decided, because no zone of the text is one that the request may use.");
        }

        foreach (Candidate other in evaluation.Eligible)
        {
            if (other != zone && why.Count < 8)
            {
                why.Add(Sentence(other.Check.Reason() ?? Verdict.Undecidable, other, evaluation, pageKiB));
            }
        }

        if (evaluation.OfNodesThatFail([.. evaluation.Eligible]) is { Count: > 0 } own)
        {
            why.Insert(1, $"The request was for one node only (__GFP_THISNODE), which the report does not name: it must have been node {string.Join(" or ", own.Select(z => z.Facts.Node).Distinct())}, where no zone passes; what is free elsewhere does not help it.");
        }

        if (to.Verdict == Verdict.Passes)
        {
            Passing(to, evaluation);
        }
        else if (evaluation.IsOom && evaluation.Eligible.Any(z => z.Check.Passes == true))
        {
            to.PassesAtMin = true;
            why.Add("As printed a zone passes at min, but none passes the last try against the high watermark that the OOM path makes without the request's rights.");
        }

        if (evaluation.Zones.Count != 0 && evaluation.Zones.TrueForAll(z => z.Facts.Min == 0))
        {
            why.Add("All watermarks are 0: they are not computed yet, the machine is booting.");
        }

        if (Completeness.Missing(report, indexes) is { Count: > 0 } missing)
        {
            to.NoteList.Add(Completeness.Text(missing));
        }

        Idle(to, evaluation, pageKiB);
        Circumstances.Fill(to, evaluation, indexes);
        Tail(to);
    }

    /// <summary>Says that every zone the request may use is there but has no memory; null where one is missing in the text.</summary>
    public static string? Unpopulated(KernelReport report, ZoneIndexes indexes, Evaluation evaluation)
    {
        int highest = indexes.Highest(evaluation.Request.Gfp);
        List<ReportedZone> empty = [.. report.Zones.Where(z => z.IsEmpty && indexes.Of(z.Name) >= 0 && indexes.Of(z.Name) <= highest)];
        if (empty.Count == 0 || evaluation.Eligible.Any() || evaluation.Zones.Exists(z => z.Forbidden))
        {
            return null;
        }

        return $"No zone that the request may use has any memory: {string.Join(", ", empty.Select(z => $"{z} is {(z.KiB("present") is > 0 and long present ? string.Create(Plain, $"there ({present} kB present) but none of it was given to the allocator (managed 0)") : "empty")}"))}. It can never succeed on this machine.";
    }

    /// <summary>What the end of the report tells, whatever the zones say.</summary>
    public static void Tail(ReportExplanation to)
    {
        KernelReport report = to.Report;
        if (report.Victim is { } victim)
        {
            string size = victim.AnonKiB is { } anon ? $", {Amount.KiB(anon)} anonymous" : "";
            string adj = victim.ScoreAdj is { } score && score != 0 ? string.Create(Plain, $", oom_score_adj {score}") : "";
            long held = (victim.AnonKiB ?? 0) + (victim.FileKiB ?? 0);
            string small = report.Kind == ReportKind.Oom && held > 0 && report.Closing.TryGetValue("ram", out long all) && report.Closing.TryGetValue("reserved", out long kept) && held * 8 < (all - kept) * (to.PageSizeKiB ?? 4)
                ? ": a small part of the machine, so most of the memory is elsewhere"
                : "";
            to.NoteList.Add(string.Create(Plain, $"killed: {victim.Name} (pid {victim.Pid}{size}{adj}){small}"));
        }

        if (report.Closing.TryGetValue("swap total", out long swap) && swap == 0)
        {
            to.NoteList.Add("the machine has no swap: anonymous memory cannot be reclaimed");
        }

        if (report.Closing.TryGetValue("ram", out long ram) && report.Closing.TryGetValue("reserved", out long reserved) && to.PageSizeKiB is null or 4)
        {
            to.NoteList.Add(string.Create(Plain, $"usable memory: {ram - reserved} pages ({Amount.KiB((ram - reserved) * (to.PageSizeKiB ?? 4))} of pages of {to.PageSizeKiB ?? 4} KiB)"));
        }
    }

    private static string Sentence(Verdict reason, Candidate zone, Evaluation evaluation, int pageKiB)
    {
        if (evaluation.IsOom && reason == Verdict.Passes && evaluation.AgainstHigh(zone) is { Passes: false } high)
        {
            return string.Create(Plain, $"{zone.Facts.Title} passes at min as printed ({zone.Check.Usable} > {zone.Check.Limit}), but not the last try against high ({high.Usable}{(high.HasPages == false && !high.FailsByOrder ? " <=" : ",")} {high.Limit}).");
        }

        ZoneCheck check = evaluation.IsOom && zone.Check.Passes == true ? evaluation.AgainstHigh(zone) : zone.Check;
        ZoneFacts facts = zone.Facts;
        int order = check.Request.Order;
        string title = facts.Title;
        string numbers = check.Usable is { } u && check.Limit is { } l ? string.Create(Plain, $"{u} usable pages, {l} must be exceeded") : "";
        switch (reason)
        {
            case Verdict.Fragmented when check.FailsByOrder:
                HalvingStep last = check.Steps[^1];
                return string.Create(Plain, $"{title} is FRAGMENTED: {check.Usable} usable pages are free, but without the blocks of orders 0 to {last.Order} only {last.Left} are left where more than {last.Limit} must be: it fails by {last.Limit + 1 - last.Left} pages ({KernelRules.Text(KernelRule.HalvesByOrder)}, before 4.4).");
            case Verdict.Fragmented:
                int largest = facts.LargestUsableOrder(check.Request, check.Rules) ?? -1;
                FreeBlocks top = facts.Blocks?.LastOrDefault(b => b.Order == largest) ?? default;
                string best = largest < 0 ? "no block at all" : string.Create(Plain, $"the largest is {top.Count}*{top.KiB}kB, order {largest}");
                return string.Create(Plain, $"{title} is FRAGMENTED: {(check.Request.IgnoresWatermarks ? "watermarks do not bind this request (__GFP_MEMALLOC), but there is " : numbers.Length == 0 ? "" : $"{numbers}: enough, but ")}no free block of order {order} ({Amount.Block(order, pageKiB)}) or more: {best}.");
            case Verdict.HighAtomic:
                string least = facts.HighAtomicIsLeast ? "at least " : "";
                return string.Create(Plain, $"{title}: what is free is in the HIGHATOMIC reserve ({least}{facts.HighAtomic} pages, blocks of type H), which this request may not use{Numbers(numbers)}{AsPrinted(check)}.");
            case Verdict.Cma:
                return string.Create(Plain, $"{title}: what is free is CMA ({Amount.Pages(facts.Cma, pageKiB)}, blocks of type C), which only movable requests may use{Numbers(numbers)}.");
            case Verdict.Reserve:
                return string.Create(Plain, $"{title}{(facts.Blocks is null ? ":" : $" has {BlockWord(facts, check)}, but")} lowmem_reserve keeps {facts.Reserve} pages back from this request: it misses by {Amount.Pages(check.Missing ?? 0, pageKiB)}.");
            case Verdict.Short when check.Missing == 0:
                return string.Create(Plain, $"{title}: its counter says {facts.Free} free pages ({numbers}), but its lists, which are read a moment later, have no block: what was free was taken in between.");
            case Verdict.Short:
                return check.Missing is { } missing
                    ? string.Create(Plain, $"{title} is SHORT of memory: {numbers}: it misses by {Amount.Pages(missing, pageKiB)}{(check.HasBlock == false && order > 0 ? ", and no block is large enough" : "")}.")
                    : $"{title} is SHORT of memory: no usable page is free.";
            case Verdict.Policy:
                return $"{title} would pass, but a memory policy or cpuset forbids its node.";
            case Verdict.Passes:
                return string.Create(Plain, $"{title} passes as printed: {numbers}, and {BlockWord(facts, check)}{LastResort(facts, check)}.");
            default:
                return Unknown(zone, check, pageKiB);
        }
    }

    /// <summary>What is missing, and from which value on the zone would fail.</summary>
    private static string Unknown(Candidate zone, ZoneCheck check, int pageKiB)
    {
        string title = zone.Facts.Title;
        if (zone.Facts.Index < 0)
        {
            return $"{title}: a zone of this name is unknown, so it is not known whether the request may use it.";
        }

        if (zone.Facts.Min is null && zone.Facts.Blocks is not null && Threshold(zone.Facts, check) is { } threshold)
        {
            return string.Create(Plain, $"{title}: cannot be decided, because min is not in the text: it fails for any min of {threshold} pages ({threshold * pageKiB} kB) or more.");
        }

        if (zone.Facts.BlocksAreCut && zone.Facts.Min is not null)
        {
            return $"{title}: cannot be decided, because the list of its free blocks is cut off.";
        }

        return zone.Facts.Blocks is null && zone.Facts.Min is not null
            ? $"{title}: cannot be decided, because the list of its free blocks is not in the text."
            : $"{title}: cannot be decided, because its watermarks are not in the text.";
    }

    /// <summary>The smallest min at which a zone fails; null where none does below its free pages.</summary>
    private static long? Threshold(ZoneFacts zone, ZoneCheck check)
    {
        (long low, long high) = (0, (zone.Free ?? 0) * 4);
        bool Fails(long min) => ZoneCheck.Run(zone with { Min = min, Reserve = zone.Reserve ?? 0 }, check.Request, check.Rules, min).Passes == false;
        if (!Fails(high))
        {
            return null;
        }

        while (low < high)
        {
            long middle = low + ((high - low) / 2);
            (low, high) = Fails(middle) ? (low, middle) : (middle + 1, high);
        }

        return low;
    }

    private static void Passing(ReportExplanation to, Evaluation evaluation)
    {
        List<string> why = to.WhyList;
        if (to.Report.Kind == ReportKind.State)
        {
            why.Add("The request would succeed in this state, without reclaim or compaction.");
            return;
        }

        why.Add(evaluation.IsOom
            ? "THE PRINTED STATE DOES NOT EXPLAIN THE OOM KILL: the request would pass."
            : "THE PRINTED STATE DOES NOT FAIL: it is written after the last attempt, and at that moment there must have been fewer pages or no such block (a race with a free, with kswapd, or a drift of the counters).");
        List<string> boosted = [];
        foreach (Candidate zone in evaluation.Eligible)
        {
            if (zone.Facts.Boost != 0 && zone.Check.Passes == false
                && ZoneCheck.Run(zone.Facts with { Min = zone.Facts.Min - zone.Facts.Boost, Boost = 0 }, evaluation.Request, evaluation.Rules, zone.Facts.Min - zone.Facts.Boost).Passes == true)
            {
                boosted.Add(string.Create(Plain, $"{zone.Facts.Title} ({zone.Facts.Boost} pages)"));
            }
        }

        if (evaluation.Eligible.Any(z => z.Facts.Boost != 0))
        {
            why.Add("The watermarks are boosted (recent fragmentation)" + (boosted.Count == 0 ? "." : ": without it these zones would pass too: " + string.Join(", ", boosted) + ". The boost pushed the request there."));
        }

        if (evaluation.Eligible.FirstOrDefault(z => z.Check.Passes == true) is { } passing && Margin(passing.Check) is { } margin)
        {
            why.Add(string.Create(Plain, $"{passing.Facts.Title} passes by {margin} pages: it must have had that many less, or only blocks of types it may not take."));
        }

    }

    /// <summary>By how many pages a check passes, at the step that has least to spare.</summary>
    private static long? Margin(ZoneCheck check) => check.Steps.Count == 0 ? check.Usable - check.Limit : Math.Min(check.Usable - check.Limit ?? long.MaxValue, check.Steps.Min(s => s.Left - s.Limit));

    /// <summary>Memory that is free where the request may not go, which people ask about first.</summary>
    private static void Idle(ReportExplanation to, Evaluation evaluation, int pageKiB)
    {
        foreach (Candidate zone in evaluation.Zones.Where(z => z.Eligible == false))
        {
            if (zone.Facts.Free is { } free && free > 4 * (evaluation.Eligible.Sum(z => z.Facts.Free) ?? 0) && to.WhyList.Count < 10)
            {
                string cma = zone.Facts.Cma * 2 > free ? ", and most of it is CMA" : "";
                to.WhyList.Add($"{zone.Facts.Title} has {Amount.Pages(free, pageKiB)} free, but {(zone.Forbidden ? "its node is forbidden to" : "this zone is not for")} the request{cma}.");
            }
        }
    }

    /// <summary>Before 4.4 there was a reserve of page blocks (MIGRATE_RESERVE) that every type fell back to at last, rather than fail.</summary>
    private static string LastResort(ZoneFacts facts, ZoneCheck check) =>
        facts.Blocks is { } blocks && blocks.Any(b => b.Count > 0 && b.Order >= check.Request.Order && b.Types == "R") && blocks.All(b => b.Count == 0 || b.Order < check.Request.Order || b.Types == "R")
            ? ", all of type Reserve, which kernels before 4.4 take from last, rather than fail"
            : "";

    /// <summary>What a zone would do if the reserve, whose size is not printed, were nothing.</summary>
    private static string AsPrinted(ZoneCheck check)
    {
        if (check.HighAtomic == 0 || !check.Zone.HighAtomicIsLeast)
        {
            return "";
        }

        ZoneCheck without = ZoneCheck.Run(check.Zone with { HighAtomic = 0 }, check.Request, check.Rules, check.Zone.Min);
        return without.Passes == true
            ? string.Create(Plain, $". By the printed numbers alone it passes ({without.Usable} > {without.Limit}, {BlockWord(check.Zone, without)}): this kernel does not print the reserve, and with the smallest one there can be it fails")
            : "";
    }

    private static string BlockWord(ZoneFacts facts, ZoneCheck check) => facts.UsableBlocks(check.Request.Order, check.Request, check.Rules) is { } count
        ? string.Create(Plain, $"{count} usable blocks of order {check.Request.Order} or more")
        : check.HasBlock == true ? "a single page needs no list of blocks" : "blocks unknown";

    private static string Numbers(string numbers) => numbers.Length == 0 ? "" : ": " + numbers;
}
