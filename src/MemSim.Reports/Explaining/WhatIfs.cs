using System.Globalization;
using MemSim.Reports.Kernels;

namespace MemSim.Reports.Explaining;

/// <summary>What would have saved a request that failed: each change is put through the same arithmetic again.</summary>
internal sealed partial class WhatIfs
{
    // What a change costs, for the order among those that work: a setting at run time, a risky one, a line of code, a boot parameter, memory or another kernel.
    private const int Sysctl = 10;
    private const int Code = 20;
    private const int CodeWithRisk = 25;
    private const int SysctlWithRisk = 28;
    private const int BootParameter = 30;
    private const int Hardware = 40;

    private static readonly CultureInfo Plain = CultureInfo.InvariantCulture;

    private readonly List<Saving> _list = [];
    private readonly KernelReport _report;
    private readonly Evaluation _evaluation;
    private readonly RequestFacts _request;
    private readonly ZoneIndexes _indexes;
    private readonly int _pageKiB;
    private readonly KernelRange _kernels;
    private bool _passesAsPrinted;

    private WhatIfs(KernelReport report, Evaluation evaluation, ZoneIndexes indexes, int pageKiB, KernelRange kernels)
    {
        _kernels = kernels;
        _report = report;
        _evaluation = evaluation;
        _request = evaluation.Request;
        _indexes = indexes;
        _pageKiB = pageKiB;
    }

    /// <summary>The list: what works first, and the cheaper before the dearer.</summary>
    public static List<Saving> Of(ReportExplanation to, Evaluation evaluation, ZoneIndexes indexes, int pageKiB, KernelRange kernels)
    {
        // Where the printed state passes, what counts is what would have let the other zones pass as well.
        WhatIfs all = new(to.Report, to.Verdict == Verdict.Passes ? evaluation.WithoutPassing() : evaluation, indexes, pageKiB, kernels) { _passesAsPrinted = to.Verdict == Verdict.Passes };
        if (evaluation.IsBeyondLargest)
        {
            all.SmallerOrder();
            all.Contiguous();
        }
        else if (evaluation.Zones.Exists(z => z.Eligible != false))
        {
            all.SmallerOrder();
            all.Flags();
            all.Compaction();
            all.Reserve();
            all.Boost();
            all.MinFree();
            all.HighAtomic();
            all.Cma();
            all.PerCpuLists();
            all.Reclaim();
        }

        all.Policy();
        return [.. all._list.OrderBy(s => s.Works switch { true => 0, null => 1, _ => 2 }).ThenBy(s => all.Rank(s, to.Verdict))];
    }

    /// <summary>The cost, but what answers the reason comes first; and where the machine is out of memory, what lets one page through comes last.</summary>
    private int Rank(Saving saving, Verdict reason)
    {
        bool answers = (reason, saving.Knob) is (Verdict.Cma, "cma") or (Verdict.HighAtomic, "highatomic") or (Verdict.Policy, "cpuset.mems" or "mempolicy");
        if (answers)
        {
            return 0;
        }

        bool exhausted = _evaluation.IsOom && _request.Order == 0 && reason == Verdict.Short;
        return exhausted && saving.Knob is "gfp" or "min_free_kbytes" or "lowmem_reserve_ratio" or "percpu_pagelist_fraction" or "percpu_pagelist_high_fraction" ? Hardware + saving.Cost : saving.Cost;
    }

    /// <summary>Adds a change; nothing is ruled out while a zone is not known.</summary>
    private void Add(string knob, string value, bool? works, int cost, string text, RequestFacts? request = null, Func<ZoneFacts, ZoneFacts>? change = null) =>
        _list.Add(new Saving(knob, value, works == false && _evaluation.IsUndecided ? null : works, text) { Cost = cost, Trial = request is null && change is null ? null : (request ?? _request, change) });

    private void SmallerOrder()
    {
        if (_request.Order == 0)
        {
            return;
        }

        if (_passesAsPrinted)
        {
            Add("order", string.Create(Plain, $"{_request.Order - 1}"), null, Code, "asking for a smaller order: fewer blocks to wait for, whatever it was that failed");
        }

        for (int order = _request.Order - 1; order >= 0 && !_passesAsPrinted; order--)
        {
            if (_evaluation.Would(_request with { Order = order }) == true)
            {
                Add("order", string.Create(Plain, $"{order}"), true, Code, string.Create(Plain, $"asking for order {order} ({Amount.Block(order, _pageKiB)}) or less{Where(_request with { Order = order })}"), _request with { Order = order });
                break;
            }
        }

        if (!_list.Exists(s => s.Knob == "order"))
        {
            Add("order", "0", _evaluation.Would(_request with { Order = 0 }), Code, "asking for single pages");
        }

        bool? single = _passesAsPrinted ? null : _evaluation.Would(_request with { Order = 0 });
        if (_request.CanReclaim && !_request.IsMovable && _report.Head != ReportHead.NoMmu && (_request.Gfp & (Gfp.Dma | Gfp.Dma32)) == 0)
        {
            string name = Knobs.Exists("kvmalloc", _kernels) ? "kvmalloc" : "vmalloc";
            Add(name, "", single, Code + 1, $"{name} instead of kmalloc, where the memory need not be contiguous: {(name == "vmalloc" ? "it takes" : "it falls back to")} single pages");
        }
    }

    /// <summary>What gives ranges larger than the largest block: they are set aside, or made of movable pages, and not asked of the buddy allocator.</summary>
    private void Contiguous()
    {
        if (_report.Head == ReportHead.NoMmu)
        {
            return;
        }

        Add("hugetlb", "", null, BootParameter, string.Create(Plain, $"a range of {Amount.Block(_request.Order, _pageKiB)} set aside at boot: hugetlb pages (hugepagesz=, hugepages=), where user space wants it"));
        if (Knobs.Exists("cma", _kernels))
        {
            Add("cma", "", null, BootParameter + 1, string.Create(Plain, $"a CMA area (cma=, the device tree) of {Amount.Block(_request.Order, _pageKiB)} or more, where a device wants it (dma_alloc_coherent)"));
        }
    }

    /// <summary>The zone by which a changed request passes, with the numbers.</summary>
    private string Where(RequestFacts request)
    {
        foreach (Candidate zone in _evaluation.Eligible)
        {
            ZoneCheck check = ZoneCheck.Run(zone.Facts, request, _evaluation.Rules, zone.Facts.Min);
            if (check.Passes == true)
            {
                return check.Limit is { } limit ? string.Create(Plain, $": {zone.Facts.Title} passes, {check.Usable} > {limit}") : $": {zone.Facts.Title} has such a block";
            }
        }

        return "";
    }

    private void Flags()
    {
        Gfp gfp = _request.Gfp;
        if ((gfp & Gfp.High) == 0 && (gfp & Gfp.MemAlloc) == 0 && (gfp & Gfp.HighMem) == 0 && !_request.IsMovable)
        {
            RequestFacts atomic = _request with { Gfp = (gfp & ~(Gfp.DirectReclaim | Gfp.Io | Gfp.Fs)) | Gfp.High | Gfp.AtomicBit };
            Add("gfp", "GFP_ATOMIC", _evaluation.Would(atomic), CodeWithRisk, $"GFP_ATOMIC: the rights of a high-priority request that cannot wait (for requests that must not fail, at the cost of the reserves){Where(atomic)}", atomic);
        }

        if (!_request.CanReclaim)
        {
            Sleeping();
            return;
        }

        if ((gfp & (Gfp.Io | Gfp.Fs)) != (Gfp.Io | Gfp.Fs) && !_request.IsMovable)
        {
            RequestFacts kernel = _request with { Gfp = gfp | Gfp.Io | Gfp.Fs };
            Add("gfp", "GFP_KERNEL", _evaluation.Would(kernel), Code, "GFP_KERNEL alone: the same zones and the same check", kernel);
        }

        if (_request.Order > 3 && (gfp & Gfp.RetryMayFail) == 0)
        {
            string flag = Knobs.Exists("__GFP_RETRY_MAYFAIL", _kernels) ? "__GFP_RETRY_MAYFAIL" : "__GFP_REPEAT";
            Add("gfp", flag, null, Code, $"{flag}: reclaim and compaction are repeated for orders above 3 instead of given up after one round");
        }
    }

    /// <summary>Compaction: enough pages, enough that can be moved, and room to move it to.</summary>
    private void Compaction()
    {
        if (_request.Order == 0 || !Knobs.Exists("compaction", _kernels))
        {
            return;
        }

        long block = 1L << Math.Min(_request.Order, 40);
        bool any = false;
        bool unknown = false;
        bool? works = false;
        string text = "compaction: no zone has both the pages and the movable memory for it";
        foreach (Candidate zone in _evaluation.Eligible)
        {
            if (zone.Facts.Free is not { } free || zone.Facts.Min is not { } min || zone.Facts.Reserve is not { } reserve)
            {
                unknown = true;
                continue;
            }

            // Before 4.4 a block that is made counts as one of the order: what matters then is what is left for the limit.
            RequestFacts single = _request with { Order = 0 };
            ZoneCheck pages = ZoneCheck.Run(zone.Facts, single, _evaluation.Rules, min);
            bool enough = pages.Usable - block + 1 > pages.Limit && free - zone.Facts.Cma - zone.Facts.HighAtomic > min + reserve + (2 * block);
            long? movable = Movable(zone.Facts);
            any |= enough && zone.Check.Passes == false;
            if (!enough || zone.Check.Passes != false || works == true)
            {
                continue;
            }

            works = movable is null ? null : movable >= block && movable + free >= 2 * block;
            string knobs = Knobs.Exists("compaction_proactiveness", _kernels) ? "vm.compact_memory=1, vm.compaction_proactiveness" : "vm.compact_memory=1";
            text = string.Create(Plain, $"compaction ({knobs}): {zone.Facts.Title} has {Amount.Pages(free, _pageKiB)} free in small blocks and {(movable is { } m ? Amount.Pages(m, _pageKiB) : "an unknown amount")} on the LRU that can be moved; unmovable pages in between can still prevent it");
        }

        if ((unknown || _evaluation.IsUndecided) && works == false)
        {
            (works, text) = (null, "compaction (vm.compact_memory=1): whether a zone has the pages and the movable memory for it the text does not tell");
        }

        if (any || _evaluation.Eligible.Any())
        {
            Add("compaction", "vm.compact_memory=1", works, Code - 1, text);
        }
    }

    /// <summary>The zone that needs the smallest change of the reserve.</summary>
    private void Reserve()
    {
        Candidate? best = null;
        double change = double.MaxValue;
        foreach (Candidate zone in _evaluation.Eligible)
        {
            ZoneFacts facts = zone.Facts;
            if (zone.Check.Passes != false || facts.Reserve is not > 0 || ZoneCheck.Run(facts with { Reserve = 0 }, _request, _evaluation.Rules, facts.Min).Passes != true)
            {
                continue;
            }

            double needed = (double)facts.Reserve.Value / Math.Max(1, zone.Check.Usable!.Value - zone.Check.Lowered!.Value - 1);
            if (needed < change)
            {
                (best, change) = (zone, needed);
            }
        }

        if (best is { } zoneToOpen)
        {
            long allowed = zoneToOpen.Check.Usable!.Value - zoneToOpen.Check.Lowered!.Value - 1;
            (string value, string text) = Ratio(zoneToOpen.Facts, allowed);
            Add("lowmem_reserve_ratio", value, true, change < 4 ? Sysctl : SysctlWithRisk, string.Create(Plain, $"vm.lowmem_reserve_ratio: {zoneToOpen.Facts.Title} passes with a reserve of at most {allowed} pages instead of {zoneToOpen.Facts.Reserve}{text}"), change: z => z == zoneToOpen.Facts ? z with { Reserve = allowed } : z);
        }
    }

    /// <summary>The ratio that is just enough: the pages of the higher zones are the reserve times the ratio in force.</summary>
    private (string Value, string Text) Ratio(ZoneFacts zone, long allowed)
    {
        int highest = _indexes.Highest(_request.Gfp);
        long above = _report.Zones.Where(z => z.Node == zone.Node && _indexes.Of(z.Name) > zone.Index && _indexes.Of(z.Name) <= highest).Sum(z => z.KiB("managed") ?? z.KiB("present") ?? 0) / _pageKiB;
        if (above <= 0 || zone.Reserve is not > 0)
        {
            return ("", "");
        }

        long now = Math.Max(1, (long)Math.Round((double)above / zone.Reserve.Value));

        // What the kernel divided lies between these; the larger one is safe.
        long divided = Math.Max(zone.Reserve.Value * now + now - 1, above);
        long ratio = allowed <= 0 ? 0 : (divided / (allowed + 1)) + 1;
        string text = ratio == 0 ? " (0 switches it off)" : string.Create(Plain, $": ratio {ratio} instead of {now} for {zone.Name} is just enough");
        return (string.Create(Plain, $"{ratio}"), text);
    }

    private void Boost()
    {
        if (!_evaluation.Eligible.Any(z => z.Facts.Boost != 0))
        {
            return;
        }

        bool? works = _evaluation.Would(static z => z with { Min = z.Min - z.Boost, Low = z.Low - z.Boost, High = z.High - z.Boost, Boost = 0 });
        string zones = string.Join(", ", _evaluation.Eligible.Where(z => z.Facts.Boost != 0).Select(z => string.Create(Plain, $"{z.Facts.Title} {z.Facts.Boost} pages")));
        Add("watermark_boost_factor", "0", works, Sysctl, $"vm.watermark_boost_factor=0: fragmentation would not have raised the watermarks ({zones})", change: static z => z with { Min = z.Min - z.Boost, Low = z.Low - z.Boost, High = z.High - z.Boost, Boost = 0 });
    }

    private void MinFree()
    {
        long? total = _report.Zones.Where(z => !z.IsEmpty && z.Name is not ("HighMem" or "Movable")).Select(z => z.KiB("min") - ((z.KiB("boost") ?? 0))).Aggregate((long?)0, (sum, min) => sum + min);
        Candidate? best = null;
        long bestMark = -1;
        foreach (Candidate zone in _evaluation.Eligible)
        {
            if (zone.Check.Passes != false || zone.Facts.Min is not { } min || zone.Facts.Name is "HighMem" or "Movable" || min - zone.Facts.Boost <= 0)
            {
                continue;
            }

            long mark = LargestMark(zone.Facts, min);
            if (mark >= 0 && (best is null || mark * (best.Facts.Min ?? 1) > bestMark * min))
            {
                (best, bestMark) = (zone, mark);
            }
        }

        if (best is not null && total is > 0 and long kib)
        {
            long value = (long)(kib * ((double)Math.Max(0, bestMark - best.Facts.Boost) / Math.Max(1, best.Facts.Min!.Value - best.Facts.Boost)));
            Add("min_free_kbytes", string.Create(Plain, $"{value}"), true, SysctlWithRisk, string.Create(Plain, $"vm.min_free_kbytes={value} instead of about {kib}: {best.Facts.Title} would pass with a min of {bestMark} pages instead of {best.Facts.Min} (and the reserves for interrupts shrink)"), change: z => z == best.Facts ? z with { Min = bestMark, Boost = Math.Min(z.Boost, bestMark) } : z);
        }
        else if (total is > 0 && !_evaluation.IsUndecided)
        {
            Add("min_free_kbytes", "", false, Sysctl, "a smaller vm.min_free_kbytes alone: no zone would pass");
        }

        if (!_request.CanReclaim && _evaluation.Eligible.Any(z => z.Check.HasPages == false))
        {
            long usable = total ?? 0;
            Add("min_free_kbytes", string.Create(Plain, $"{usable * 2}"), null, Sysctl, $"a larger vm.min_free_kbytes{(Knobs.Exists("watermark_scale_factor", _kernels) ? " or vm.watermark_scale_factor" : "")}: kswapd would begin earlier and leave more for requests that cannot wait; whether in time the report does not tell");
        }
        else if (_evaluation.Eligible.Any(z => z.Check.HasPages == false) && !_evaluation.IsOom && Knobs.Exists("watermark_scale_factor", _kernels))
        {
            Add("watermark_scale_factor", "", null, Sysctl, "a larger vm.watermark_scale_factor: kswapd would begin earlier and work longer; whether in time the report does not tell");
        }
    }

    /// <summary>The largest min with which a zone passes; -1 for none.</summary>
    private long LargestMark(ZoneFacts zone, long min)
    {
        bool Passes(long mark) => ZoneCheck.Run(zone with { Min = mark, Boost = Math.Min(zone.Boost, mark) }, _request, _evaluation.Rules, mark).Passes == true;
        if (!Passes(0))
        {
            return -1;
        }

        (long low, long high) = (0, min);
        while (low < high)
        {
            long middle = low + ((high - low + 1) / 2);
            (low, high) = Passes(middle) ? (middle, high) : (low, middle - 1);
        }

        return low;
    }

    private void HighAtomic()
    {
        if (!_evaluation.Eligible.Any(z => z.Facts.HighAtomic > 0 && (z.Check.HighAtomic > 0 || z.Facts.HasType('H', _request.Order))))
        {
            return;
        }

        bool? works = _evaluation.Would(static z => z with { HighAtomic = 0, Blocks = Opened(z.Blocks, 'H') });
        string kernel = _evaluation.Rules.HasFlag(KernelRule.NonBlockTakesHighAtomic) || _request.CanReclaim ? "" : "; since 6.12 a request that cannot wait takes single pages from it";
        Add("highatomic", "0", works, Hardware, $"giving back the highatomic reserve (kernels since 4.10 do that before the OOM killer is called; fewer atomic requests of order 1 and more build it up less){kernel}", change: static z => z with { HighAtomic = 0, Blocks = Opened(z.Blocks, 'H') });
    }

    private void Cma()
    {
        long pages = _evaluation.Eligible.Sum(z => z.Check.Cma);
        bool blocks = _evaluation.Eligible.Any(z => z.Facts.HasType('C', _request.Order) && !_request.TakesCma(_evaluation.Rules));
        if (pages > 0 || blocks)
        {
            bool? works = _evaluation.Would(static z => z with { Cma = 0, Blocks = Opened(z.Blocks, 'C') });
            Add("cma", string.Create(Plain, $"-{pages * _pageKiB}K"), works, BootParameter, $"a smaller CMA area (cma=, kvm_cma_resv_ratio, the device tree): {Amount.Pages(pages, _pageKiB)} of free CMA would be ordinary memory; a larger vm.min_free_kbytes does not help, kswapd counts CMA as free");
        }
        else if (_report.Closing.TryGetValue("cma reserved", out long reserved) && reserved > 0 && _evaluation.Zones.TrueForAll(z => z.Facts.Cma == 0) && _evaluation.Eligible.Any(z => z.Check.Missing is > 0 and long m && m <= reserved))
        {
            Add("cma", string.Create(Plain, $"-{reserved * _pageKiB}K"), true, BootParameter, $"a smaller CMA area (cma=, the device tree): {Amount.Pages(reserved, _pageKiB)} are set aside for it and none of it is free");
        }
    }

    /// <summary>Blocks with those of a type open to everybody.</summary>
    private static List<FreeBlocks>? Opened(IReadOnlyList<FreeBlocks>? blocks, char type) => blocks?.Select(b => b.Types?.Contains(type) == true ? b with { Types = b.Types.Replace(type, 'U') } : b).ToList();

    private void PerCpuLists()
    {
        if (_evaluation.Eligible.Any(z => z.Facts.PerCpu > 0 && z.Check.Passes == false))
        {
            bool? works = _evaluation.Would(static z => z with { Free = z.Free + z.PerCpu });
            string knob = Knobs.Exists("percpu_pagelist_high_fraction", _kernels) ? "percpu_pagelist_high_fraction" : "percpu_pagelist_fraction";
            Add(knob, "", works, Sysctl + 1, $"draining the per-CPU lists, or smaller ones (vm.{knob}): they hold {Amount.Pages(_evaluation.Eligible.Sum(z => z.Facts.PerCpu), _pageKiB)}", change: static z => z with { Free = z.Free + z.PerCpu });
        }
    }
}
