using System.Globalization;
using MemSim.Kernels;
using MemSim.Reports.Kernels;
using MemSim.Reports.Rebuilding;

namespace MemSim.Reports.Explaining;

/// <summary>Chooses how a report is explained, and fills the explanation.</summary>
internal static class Explanations
{
    private const int AssumedPageKiB = 4;

    public static void Fill(ReportExplanation to, KernelRelease? kernel, bool onMachine)
    {
        KernelReport report = to.Report;
        KernelRange range = KernelRange.Of(report, kernel);
        to.Rules = range.Reason;
        to.Order = report.Order;

        // Flags are encoded as the kernel that wrote them did, by whatever rules the rest is explained.
        KernelRange own = KernelRange.Of(report, null);
        KernelRange encoded = kernel is { } named && named >= own.From && named <= own.To ? range : own;
        GfpMeaning? meaning = report.Gfp?.Decode(encoded.From, encoded.To);
        if (meaning is not null)
        {
            to.GfpNames = meaning.Names;
            to.Gfp = meaning.Flags;
            to.NoteList.AddRange(meaning.Notes);
        }

        Unknown(to, range);
        Notice(to);
        Unbalanced(to, range);
        if (report.Kind == ReportKind.MemcgOom)
        {
            CgroupExplanation.Fill(to);
        }
        else if (report.Head == ReportHead.Cma)
        {
            AreaExplanation.Cma(to);
        }
        else
        {
            Request(to, range, meaning, onMachine);
        }

        to.Consumers = ConsumerList.Of(report, to.PageSizeKiB ?? AssumedPageKiB);
        Dominant(to);
    }

    /// <summary>Explains a request on zones.</summary>
    private static void Request(ReportExplanation to, KernelRange range, GfpMeaning? meaning, bool onMachine)
    {
        KernelReport report = to.Report;
        int pageKiB = to.PageSizeKiB ?? AssumedPageKiB;
        if (report.RequestBytes is { } bytes && report.Head == ReportHead.NoMmu)
        {
            to.Order = OrderOf(bytes, pageKiB);
        }

        bool pageFault = report.Head == ReportHead.OomKiller && report.Gfp is { Hex: 0 };
        bool sysrq = report.Order == -1 || report.IsByHand || report.CallTrace.Contains("moom_callback");
        bool hasRequest = to.Order is >= 0 && !pageFault && !sysrq && (meaning is not null || report.Head == ReportHead.NoMmu);
        Gfp gfp = hasRequest ? meaning?.Flags ?? Gfp.Kernel : report.Head == ReportHead.Vmalloc ? meaning?.Flags ?? Gfp.Kernel : Gfp.Kernel;
        RequestFacts request = new(hasRequest ? to.Order!.Value : 0, gfp);
        if (report.Zones.Count == 0 && report.Head == ReportHead.Vmalloc && AreaExplanation.Vmalloc(to))
        {
            return;
        }

        if (report.Zones.Count == 0 || (!hasRequest && report.Zones.All(z => z.IsEmpty)))
        {
            Undecidable(to, pageFault, sysrq);
            return;
        }

        ZoneIndexes indexes = ZoneIndexes.Of(report, range);
        List<(KernelRule Rules, KernelRelease Since, Evaluation Evaluation)> all = [];
        foreach ((KernelRule named, KernelRelease since) in KernelRules.Between(range.From, range.To))
        {
            KernelRule rules = Seen(named, report);
            if (Fits(rules, report) && !all.Exists(a => a.Rules == rules))
            {
                all.Add((rules, since, Evaluation.Of(report, request, rules, indexes, pageKiB, hasRequest)));
            }
        }

        if (all.Count == 0)
        {
            KernelRule rules = KernelRules.Of(range.To);
            all.Add((rules, range.From, Evaluation.Of(report, request, rules, indexes, pageKiB, hasRequest)));
        }

        Evaluation main = Choose(to, all);
        to.Zones = [.. main.Zones.Select(z => OutcomeText.Of(main, z, report, hasRequest))];
        if (!hasRequest)
        {
            StateExplanation.Fill(to, main, indexes, pageKiB, pageFault, sysrq);
            return;
        }

        RequestExplanation.Fill(to, main, indexes, pageKiB);
        if (!(report.Kind == ReportKind.State && to.Verdict == Verdict.Passes) && report.Head is ReportHead.PageAllocationFailure or ReportHead.Stall or ReportHead.OomKiller or ReportHead.NoMmu or ReportHead.Missing or ReportHead.Slub or ReportHead.Vmalloc)
        {
            to.SavedBy = WhatIfs.Of(to, main, indexes, pageKiB, range);
            if (onMachine)
            {
                OnMachine(to, main, indexes, pageKiB, range);
            }
        }
    }

    /// <summary>Tries the request and each change on a machine rebuilt from the report.</summary>
    private static void OnMachine(ReportExplanation to, Evaluation main, ZoneIndexes indexes, int pageKiB, KernelRange range)
    {
        Evaluation tried = to.Verdict == Verdict.Passes ? main.WithoutPassing() : main;
        ReportedMachine? machine = ReportedMachine.For(main, indexes, pageKiB, range, out string reason);
        to.NotRebuilt = reason;
        if (machine is null || ReportedMachine.For(tried, indexes, pageKiB, range, out _) is not { } forks)
        {
            return;
        }

        to.OnMachine = machine.Try(main.Request, null);
        to.SavedBy = [.. to.SavedBy.Select(s => s.Trial is { } trial ? s with { OnMachine = forks.Try(trial.Request, trial.Change) } : s)];
    }

    /// <summary>The rules of the oldest kernel a report can be of, as far as its figures do not show otherwise.</summary>
    public static KernelRule RulesOf(KernelReport report, KernelRange range) => Seen(KernelRules.Of(range.From), report);

    /// <summary>Rules as the report's own figures show them, whatever its version says: the free part of the reserve is printed since it counts.</summary>
    private static KernelRule Seen(KernelRule rules, KernelReport report)
    {
        if (report.Zones.Any(z => z.Figures.ContainsKey("free_highatomic")))
        {
            return rules | KernelRule.FreeHighAtomicOnly | KernelRule.HighAtomicReserve;
        }

        return !report.IsFromProc && report.Zones.Any(z => z.Figures.ContainsKey("reserved_highatomic")) ? rules & ~KernelRule.FreeHighAtomicOnly : rules;
    }

    /// <summary>Whether rules fit what the report prints, whatever its version says: distributions carry things back.</summary>
    private static bool Fits(KernelRule rules, KernelReport report)
    {
        bool highAtomic = report.Zones.Any(z => z.Blocks?.Any(b => b.Types?.Contains('H') == true) == true || z.Figures.ContainsKey("reserved_highatomic"));
        bool freeHighAtomic = report.Zones.Any(z => z.Figures.ContainsKey("free_highatomic"));
        return (!highAtomic || (rules & KernelRule.HighAtomicReserve) != 0) && (!freeHighAtomic || (rules & KernelRule.FreeHighAtomicOnly) != 0);
    }

    /// <summary>The evaluation to show: all the same, or the one whose rules explain that the request failed; what other rules say is told beside it.</summary>
    private static Evaluation Choose(ReportExplanation to, List<(KernelRule Rules, KernelRelease Since, Evaluation Evaluation)> all)
    {
        List<(KernelRule Rules, KernelRelease Since, Evaluation Evaluation, Verdict Verdict)> answers = [.. all.Select(a => (a.Rules, a.Since, a.Evaluation, a.Evaluation.Decide().Verdict))];
        Verdict[] distinct = [.. answers.Select(a => a.Verdict).Distinct()];
        if (distinct.Length == 1)
        {
            to.Verdict = distinct[0];
            return answers[^1].Evaluation;
        }

        // The kernel did fail: rules by which it could not have are the less likely ones.
        Verdict[] failing = [.. distinct.Where(v => v is not (Verdict.Passes or Verdict.Undecidable))];
        to.Verdict = failing.Length == 1 && !to.Report.IsFromProc ? failing[0] : Verdict.Undecidable;
        int chosen = answers.FindLastIndex(a => failing.Length == 0 ? a.Verdict == Verdict.Undecidable : failing.Contains(a.Verdict));
        List<OtherAnswer> others = [];
        for (int i = 0; i < answers.Count; i++)
        {
            if (i == 0 || answers[i].Verdict != answers[i - 1].Verdict)
            {
                KernelRule differs = i == 0 ? answers[i].Rules & ~answers[^1].Rules : answers[i].Rules & ~answers[i - 1].Rules;
                others.Add(new OtherAnswer(answers[i].Since, answers[i].Verdict, RuleText(differs)));
            }
        }

        to.Others = others;
        return answers[Math.Max(0, chosen)].Evaluation;
    }

    private static string RuleText(KernelRule rules)
    {
        foreach (KernelRule rule in Enum.GetValues<KernelRule>())
        {
            if (rule != KernelRule.None && (rules & rule) != 0)
            {
                return KernelRules.Text(rule);
            }
        }

        return "";
    }

    /// <summary>What the report lacks, and what is known all the same.</summary>
    private static void Undecidable(ReportExplanation to, bool pageFault, bool sysrq)
    {
        KernelReport report = to.Report;
        to.Verdict = Verdict.Undecidable;
        string lack = report.Head switch
        {
            ReportHead.KilledProcess => "only the line about the victim is in the text",
            ReportHead.Slub when report.SlabFailures.FirstOrDefault(s => s.Cgroup is not null) is { } slab => $"only SLUB's complaint is in the text, not the state of the zones; {slab.Cache} is the cache of one memory cgroup ({slab.Cgroup}), so its limit is the likelier reason: a page that cannot be had is complained of by the page allocator as well",
            ReportHead.Slub => "only SLUB's complaint is in the text, not the state of the zones; the page allocator's own complaint, which tells why, stands before it where it is not suppressed",
            _ when report.Totals.ContainsKey("inactive_dirty") => "the report is of Linux 2.4, which prints neither watermarks nor the names of its zones",
            _ when report.MixedZones.Count != 0 => "the report is mixed with another one, and nothing tells which lines of zones are its own",
            _ when report.IsFromProc => "neither zoneinfo nor buddyinfo names a zone with memory",
            _ when report.Nodes.Count != 0 || report.Totals.Count != 0 => "the lines of the zones are missing",
            _ => "the report is cut off: its Mem-Info with the zones is missing",
        };
        to.WhyList.Add($"cannot be decided, because {lack}: take the whole of dmesg (no grep -A or -B).");
        if (sysrq)
        {
            to.WhyList.Add("The OOM killer was called by hand (SysRq-F): no request failed.");
        }
        else if (pageFault)
        {
            to.WhyList.Add("Flags 0x0 mean that a page fault ended in VM_FAULT_OOM: the request that failed is not the one in this report.");
        }

        RequestExplanation.Tail(to);
    }

    /// <summary>Says so when one holder has most of the memory and reclaim cannot take it away.</summary>
    private static void Dominant(ReportExplanation to)
    {
        bool hasSlab = to.Report.Totals.Keys.Any(k => k.StartsWith("slab", StringComparison.Ordinal));
        if (to.Report.Kind is not (ReportKind.Oom or ReportKind.State) || !(hasSlab || to.Report.Zones.Any(z => z.KiB("zspages") is not null) || (to.Report.Totals.ContainsKey("free") && to.Report.Totals.ContainsKey("active"))))
        {
            return;
        }

        long all = to.Consumers.Where(c => !c.Name.StartsWith("task ", StringComparison.Ordinal) && !c.Name.StartsWith("slab cache", StringComparison.Ordinal)).Sum(c => c.KiB);
        foreach (Consumer consumer in to.Consumers)
        {
            string? ask = consumer.Name switch
            {
                "slab" or "slab, unreclaimable" => "a slab leak, or caches that grow without bound: ask for /proc/slabinfo",
                "not accounted for" when !hasSlab => "neither free nor on the LRU, and this text counts no slab: slab, drivers, or pages that have left the LRU for good",
                "not accounted for" => "no counter of the report says who has it: drivers, DMA buffers, vmalloc, a balloon, or a leak of pages",
                "page tables" => "page tables: many processes that map the same memory, or huge sparse mappings",
                "compressed swap" => "what was swapped out to zram or zswap stays in memory: a limit of it (zram's mem_limit, zswap.max_pool_percent), or swap on a disk",
                "huge pages (hugetlb)" => $"a pool set aside (vm.nr_hugepages, hugepages=) that nothing else may use; {consumer.Text}",
                "unevictable" => "locked memory (mlock, ramfs, shared memory under SHM_LOCK)",
                _ => null,
            };
            if (ask is not null && consumer.KiB * 2 > all)
            {
                to.WhyList.Insert(Math.Min(1, to.WhyList.Count), $"Most of the memory is in one place: {consumer.Name} {Amount.KiB(consumer.KiB)} of {Amount.KiB(all)}: {ask}.");
                return;
            }
        }
    }

    /// <summary>What every kind of report may give cause to say.</summary>
    private static void Notice(ReportExplanation to)
    {
        KernelReport report = to.Report;
        CultureInfo plain = CultureInfo.InvariantCulture;
        if (report.Suppressed > 0)
        {
            to.NoteList.Add(string.Create(plain, $"{report.Suppressed} further failures before this one are not in the log (callbacks suppressed)"));
        }

        if (report.WaitedMilliseconds is { } waited)
        {
            to.NoteList.Add(string.Create(plain, $"the request had waited for {waited / 1000.0:0.#} s and went on waiting: nothing failed yet"));
        }

        if (report.MixedLines != 0)
        {
            to.NoteList.Add(string.Create(plain, $"{report.MixedLines} lines are left out: they are of this report or of the one of line {report.MixedWith}, which was written at the same time, and nothing tells of which (a kernel with CONFIG_PRINTK_CALLER prints who writes a line)"));
        }

        if (report.IsCut)
        {
            to.NoteList.Add("lines are left out of the report");
        }

        foreach (SlabFailure slab in report.SlabFailures)
        {
            string gfp = slab.Gfp is null ? "" : $" ({string.Join('|', slab.Gfp.Names.Count != 0 ? slab.Gfp.Names : [string.Create(plain, $"0x{slab.Gfp.Hex:x}")])})";
            to.NoteList.Add(string.Create(plain, $"line {slab.Line}: SLUB could not get a slab for {slab.Cache ?? "a cache"}{gfp}"));
        }

        to.NoteList.AddRange(report.Notes);
    }

    /// <summary>Says so when a kernel is newer than every one whose rules are known.</summary>
    private static void Unknown(ReportExplanation to, KernelRange range)
    {
        KernelPersonality newest = KernelLines.Recorded[^1];
        if (range.To != KernelRelease.Newest && KernelVersion.TryFind(newest.Name, out KernelVersion known) && new KernelVersion(range.From.Major, range.From.Minor) > known)
        {
            to.NoteList.Add($"Linux {range.From} is newer than the kernels whose rules are known: it is explained by those of the newest one, Linux {newest.Name}");
        }
    }

    /// <summary>A zone that kswapd of kernels before 4.8 can never find balanced: next to nothing in it, and no watermark.</summary>
    private static void Unbalanced(ReportExplanation to, KernelRange range)
    {
        if (range.From >= new KernelRelease(4, 8))
        {
            return;
        }

        foreach (ReportedZone zone in to.Report.Zones)
        {
            if (zone.KiB("managed") is > 0 and < 1024 and long managed && zone.KiB("min") == 0 && zone.KiB("present") > 64 * managed)
            {
                to.NoteList.Add(string.Create(CultureInfo.InvariantCulture, $"{zone} manages {managed} kB and its min is 0: kswapd of kernels before 4.8, which balance each zone for itself, may never find it balanced and spin"));
            }
        }
    }

    private static int OrderOf(long bytes, int pageKiB)
    {
        long pages = Math.Max(1, (bytes + (pageKiB << 10) - 1) / (pageKiB << 10));
        return System.Numerics.BitOperations.Log2((ulong)pages) + (System.Numerics.BitOperations.IsPow2(pages) ? 0 : 1);
    }
}
