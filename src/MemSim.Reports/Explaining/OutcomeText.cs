using System.Globalization;
using MemSim.Reports.Kernels;

namespace MemSim.Reports.Explaining;

/// <summary>Makes the public outcome of a zone, with its arithmetic as sentences.</summary>
internal static class OutcomeText
{
    /// <summary>What may come and go between the counter and the lists, in KiB.</summary>
    private const long MomentsKiB = 64 << 10;

    /// <summary>Lists that hold so small a part of a counter of that size are not whole.</summary>
    private const long Hundred = 100;
    private const long LeastKiB = 1024;

    public static ZoneOutcome Of(Evaluation evaluation, Candidate zone, KernelReport report, bool hasRequest)
    {
        ZoneCheck check = zone.Check;
        ZoneFacts facts = zone.Facts;
        bool? high = evaluation.IsOom && hasRequest && zone.Eligible == true ? evaluation.AgainstHigh(zone).Passes : null;
        return new ZoneOutcome
        {
            Node = facts.Node,
            Name = facts.Name,
            Eligible = zone.Eligible,
            FreePages = facts.Free,
            UnusablePages = facts.Free is null ? null : check.Unusable,
            OrderSharePages = check.OrderShare,
            HighAtomicPages = check.HighAtomic,
            HighAtomicIsLeast = check.HighAtomic != 0 && facts.HighAtomicIsLeast,
            CmaPages = check.Cma,
            MinPages = facts.Min,
            BoostPages = facts.Boost,
            ReservePages = facts.Reserve,
            LimitPages = check.Limit,
            MissingPages = check.Missing,
            LargestUsableOrder = facts.LargestUsableOrder(check.Request, check.Rules),
            UsableBlocks = facts.UsableBlocks(check.Request.Order, check.Request, check.Rules),
            Passes = check.Passes,
            Reason = zone.Eligible == false ? zone.Forbidden ? Verdict.Policy : null : check.Reason(),
            PassesHigh = high,
            Arithmetic = Arithmetic(evaluation, zone, report, hasRequest),
        };
    }

    private static List<string> Arithmetic(Evaluation evaluation, Candidate zone, KernelReport report, bool hasRequest)
    {
        List<string> lines = [];
        lines.AddRange(Check(zone.Check, "min"));
        if (zone.Facts.Boost != 0 && zone.Facts.Min is { } min)
        {
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"min {min} = {min - zone.Facts.Boost} + boost {zone.Facts.Boost}"));
        }

        if (zone.Check.HighAtomic != 0 && zone.Facts.HighAtomicIsLeast)
        {
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"the size of the highatomic reserve is not printed; free blocks of type H show that it is {((zone.Check.Rules & KernelRule.FreeHighAtomicOnly) != 0 ? "" : "one page block at least, ")}{zone.Check.HighAtomic} pages or more"));
        }

        if (evaluation.IsOom && hasRequest && zone.Eligible == true)
        {
            lines.AddRange(Check(evaluation.AgainstHigh(zone), "high, the last try before the OOM killer"));
        }

        lines.Add(Blocks(zone.Facts, zone.Check));
        ReportedZone? reported = report.Zone(zone.Facts.Node, zone.Facts.Name);
        if (reported?.KiB("free") is { } counter && reported.Blocks is { Count: > 0 } blocks)
        {
            long sum = blocks.Sum(b => b.KiB * b.Count);
            if (sum != counter)
            {
                lines.Add(string.Create(CultureInfo.InvariantCulture, $"the counter says {counter} kB free, the lists hold {sum} kB: {Apart(reported, counter, sum)}"));
            }

            if (reported.ListTotalKiB is { } total && total != sum)
            {
                lines.Add(string.Create(CultureInfo.InvariantCulture, $"the line of the lists says {total} kB, its blocks add up to {sum} kB: part of it is cut or garbled"));
            }
        }

        return lines;
    }

    /// <summary>Why a zone's counter and its lists differ.</summary>
    private static string Apart(ReportedZone zone, long counter, long sum)
    {
        if (zone.BlocksAreCut)
        {
            return "the line of the lists is cut off, it has no sum at its end";
        }

        // Moments lie between the two, and what CPUs have not folded in; not a large part of the zone.
        bool apart = (Math.Abs(sum - counter) > MomentsKiB && Math.Abs(sum - counter) > Math.Max(sum, counter) / 4) || (sum * Hundred <= counter && counter >= LeastKiB);
        return apart ? "too far apart for two moments of one machine (a list that is cut, files of different times or machines, or a counter that has drifted)" : "they are read at different moments";
    }

    private static IEnumerable<string> Check(ZoneCheck check, string mark)
    {
        CultureInfo plain = CultureInfo.InvariantCulture;
        if (check.Request.IgnoresWatermarks)
        {
            yield return "the request may ignore watermarks: any block that is large enough does";
            yield break;
        }

        if (check.Usable is not { } usable)
        {
            yield break;
        }

        string unusable = string.Create(plain, $"({check.OrderShare} order + {check.HighAtomic} highatomic + {check.Cma} cma)");
        string lowered = check.Lowered == check.Mark ? "" : string.Create(plain, $", lowered to {check.Lowered} by the request's rights");
        if (check.Limit is not { } limit)
        {
            yield return string.Create(plain, $"free {check.Zone.Free} - unusable {check.Unusable} {unusable} = {usable}; {(check.Mark is null ? "min is not in the text" : "what is kept back is not in the text")}");
            yield break;
        }

        string outcome = usable > limit ? "enough pages" : string.Create(plain, $"FAILS by {limit + 1 - usable}");
        yield return string.Create(plain, $"free {check.Zone.Free} - unusable {check.Unusable} {unusable} = {usable}, limit {mark} {check.Mark}{lowered} + reserve {check.Zone.Reserve} = {limit}: {outcome}");
        foreach (HalvingStep step in check.Steps)
        {
            yield return string.Create(plain, $"order {step.Order}: minus {step.Taken << step.Order} pages in {step.Taken} blocks leaves {step.Left}, limit halves to {step.Limit}: {(step.Passes ? "ok" : $"FAILS by {step.Limit + 1 - step.Left}")}");
        }
    }

    private static string Blocks(ZoneFacts facts, ZoneCheck check)
    {
        if (facts.Blocks is null)
        {
            return "the list of free blocks is not in the text";
        }

        List<string> usable = [];
        List<string> hidden = [];
        foreach (FreeBlocks blocks in facts.Blocks)
        {
            if (blocks.Order >= check.Request.Order && blocks.Count > 0)
            {
                string text = string.Create(CultureInfo.InvariantCulture, $"{blocks.Count}*{blocks.KiB}kB{(blocks.Types is null ? "" : $"({blocks.Types})")}");
                (ZoneFacts.IsUsable(blocks, check.Request, check.Rules) ? usable : hidden).Add(text);
            }
        }

        string line = $"blocks of the order or more: {(usable.Count == 0 ? "none usable" : string.Join(", ", usable))}";
        return hidden.Count == 0 ? line : line + $"; not for this request: {string.Join(", ", hidden)}";
    }
}
