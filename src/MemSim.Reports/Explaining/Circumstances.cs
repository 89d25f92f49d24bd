using MemSim.Reports.Kernels;

namespace MemSim.Reports.Explaining;

/// <summary>What the task and its call trace tell about a request that the watermarks alone do not: who asks, and whether the kernel would have given up at all.</summary>
internal static class Circumstances
{
    /// <summary>Up to this order a request that can wait is repeated until it succeeds (PAGE_ALLOC_COSTLY_ORDER).</summary>
    private const int CostlyOrder = 3;

    private static readonly string[] Reclaimers = ["try_to_free_pages", "do_try_to_free_pages", "balance_pgdat", "shrink_zone", "shrink_node", "shrink_list", "shrink_inactive_list", "shrink_page_list", "shrink_folio_list", "shrink_cache", "shrink_slab", "kswapd"];

    public static void Fill(ReportExplanation to, Evaluation evaluation, ZoneIndexes indexes)
    {
        KernelReport report = to.Report;
        RequestFacts request = evaluation.Request;
        if (InReclaim(report) && (request.Gfp & Gfp.NoMemAlloc) == 0)
        {
            long free = evaluation.Eligible.Sum(z => z.Facts.Free ?? 0);
            to.WhyList.Add($"The call trace goes through reclaim: the task has PF_MEMALLOC and watermarks did not bind it. {(free < 64 ? "The memory was used up to the last page" : $"With {free} pages free in these zones as printed, they must have been used up at that moment")}: reclaim itself needs memory to free memory here (a driver, a file system or compressed swap in its path).");
            return;
        }

        bool gives = (request.Gfp & (Gfp.NoRetry | Gfp.RetryMayFail | Gfp.ThisNode)) != 0 || (request.Gfp & Gfp.Fs) == 0;
        if (report.Head == ReportHead.PageAllocationFailure && request.CanReclaim && request.Order <= CostlyOrder && !gives && !to.WhyList.Exists(w => w.Contains("booting", StringComparison.Ordinal)))
        {
            to.NoteList.Add(indexes.Highest(request.Gfp) < indexes.Of("Normal")
                ? "for zones below Normal the OOM killer is not called: such a request gives up instead of waiting for a kill"
                : "a request of order 3 or less that can wait is repeated, and the OOM killer called, until it succeeds: that this one gave up says that its task was being killed already, or that it was asked for from within reclaim");
        }
    }

    /// <summary>Whether reclaim called what made the request; interrupts that came in between ask for themselves.</summary>
    private static bool InReclaim(KernelReport report)
    {
        bool asked = false;
        foreach (string function in report.CallTrace)
        {
            if (!asked)
            {
                asked = function.StartsWith("__alloc_pages", StringComparison.Ordinal) || function.StartsWith("__alloc_frozen_pages", StringComparison.Ordinal);
                continue;
            }

            if (function.Contains("irq", StringComparison.Ordinal) || function.Contains("interrupt", StringComparison.Ordinal))
            {
                return false;
            }

            if (Array.IndexOf(Reclaimers, function) >= 0)
            {
                return true;
            }
        }

        return false;
    }
}
