using System.Globalization;
using MemSim.Reports.Kernels;

namespace MemSim.Reports.Explaining;

/// <summary>Says what a state without a request would let pass.</summary>
internal static class StateExplanation
{
    private static readonly CultureInfo Plain = CultureInfo.InvariantCulture;

    public static void Fill(ReportExplanation to, Evaluation evaluation, ZoneIndexes indexes, int pageKiB, bool pageFault, bool sysrq)
    {
        KernelReport report = to.Report;
        Verdict kernel = Decide(report, evaluation, indexes, pageKiB, new RequestFacts(0, Gfp.Kernel));
        to.Verdict = pageFault && kernel == Verdict.Passes ? Verdict.Undecidable : kernel;
        if (pageFault)
        {
            to.WhyList.Add("cannot be decided, because the flags 0x0 mean a page fault that ended in VM_FAULT_OOM: the request that failed is not the one in this report.");
        }
        else if (sysrq)
        {
            to.WhyList.Add("The OOM killer was called by hand (SysRq-F): no request failed.");
        }
        else if (report.Head == ReportHead.Vmalloc)
        {
            Vmalloc(to, evaluation);
        }
        else
        {
            to.WhyList.Add(report.Head == ReportHead.Missing && report.Kind != ReportKind.State
                ? "The head of the report is missing, so the request is not known. What the state would let pass:"
                : "No request in this text: a state only. What it would let pass:");
        }

        foreach ((string name, Gfp gfp) in ((string, Gfp)[])[("GFP_KERNEL", Gfp.Kernel), ("GFP_HIGHUSER_MOVABLE", Gfp.HighUserMovable), ("GFP_ATOMIC", Gfp.Atomic)])
        {
            to.WhyList.Add($"{name}: {Orders(report, evaluation, indexes, pageKiB, gfp)}.");
        }

        foreach (Candidate zone in evaluation.Zones)
        {
            if (zone.Check.Passes == false && zone.Check.Missing is > 0 and long missing)
            {
                to.WhyList.Add(string.Create(Plain, $"{zone.Facts.Title} alone fails at order 0 by {Amount.Pages(missing, pageKiB)}: {zone.Check.Usable} <= {zone.Check.Limit}."));
            }
        }

        if (to.Report.Constraint is null && kernel == Verdict.Passes && report.Head == ReportHead.Missing && !report.IsFromProc)
        {
            to.WhyList.Add("If this belongs to an OOM kill, the printed state does not explain it, unless the request was for a larger order or a lower zone.");
        }

        RequestExplanation.Tail(to);
    }

    private static void Vmalloc(ReportExplanation to, Evaluation evaluation)
    {
        bool booting = evaluation.Zones.TrueForAll(z => z.Facts.Min is 0 or null) && evaluation.Zones.Count != 0;
        to.WhyList.Add(booting
            ? "Not a shortage of memory: watermarks are 0 in every zone, so the machine is still booting and slab or vmalloc are not up yet. It is too early for this call."
            : to.Verdict == Verdict.Passes
                ? "Not a shortage of pages: the vmalloc area or a structure for it could not be had (address space used up, or vmalloc= too small), while pages are free."
                : "vmalloc could not get its pages.");
    }

    /// <summary>Which orders pass, by the version's rule and by the other one where they differ.</summary>
    private static string Orders(KernelReport report, Evaluation evaluation, ZoneIndexes indexes, int pageKiB, Gfp gfp)
    {
        int largest = report.Zones.SelectMany(z => z.Blocks ?? []).Select(b => b.Order).DefaultIfEmpty(0).Max();
        int best = -1;
        int bestHigh = -1;
        for (int order = 0; order <= largest; order++)
        {
            RequestFacts request = new(order, gfp);
            Evaluation tried = Evaluation.Of(report, request, evaluation.Rules, indexes, pageKiB);
            best = tried.Would(request) == true ? order : best;
            bestHigh = tried.Eligible.Any(z => tried.AgainstHigh(z).Passes == true) ? order : bestHigh;
        }

        return best < 0 ? "nothing passes, not even order 0"
            : string.Create(Plain, $"passes up to order {best}{(bestHigh == best ? ", even against the high watermark" : bestHigh < 0 ? "; against the high watermark nothing" : $"; against the high watermark up to order {bestHigh}")}");
    }

    private static Verdict Decide(KernelReport report, Evaluation evaluation, ZoneIndexes indexes, int pageKiB, RequestFacts request) =>
        Evaluation.Of(report, request, evaluation.Rules, indexes, pageKiB).Decide().Verdict;
}
