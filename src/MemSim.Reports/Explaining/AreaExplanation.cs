using System.Globalization;

namespace MemSim.Reports.Explaining;

/// <summary>Explains failures of areas that have little to do with how much memory is free: CMA's and vmalloc's.</summary>
internal static class AreaExplanation
{
    private const int Busy = -16;
    private const int NoMemory = -12;
    private static readonly CultureInfo Plain = CultureInfo.InvariantCulture;

    /// <summary>A contiguous range that CMA did not give.</summary>
    public static void Cma(ReportExplanation to)
    {
        CmaFailure failure = to.Report.Cma ?? new CmaFailure(null, null, null);
        int pageKiB = to.PageSizeKiB ?? 4;
        to.Verdict = Verdict.Cma;
        string area = failure.Area is null ? "its area" : $"the area {failure.Area}";
        string asked = failure.Pages is { } pages ? $"{pages} contiguous pages ({Amount.KiB(pages * pageKiB)} of pages of {pageKiB} KiB)" : "a contiguous range";
        string state = failure.TotalPages is { } total ? string.Create(Plain, $" {failure.FreePages} of {total} pages of the area are free{(failure.LargestRangePages is { } largest ? $", the largest range has {largest}" : "")}.") : "";
        bool hasRange = failure.Pages is { } wanted && failure.LargestRangePages >= wanted;
        to.WhyList.Add(failure.Error switch
        {
            NoMemory => $"CMA could not give {asked}: no range of the size is free in the bitmap of {area} (-12, ENOMEM). It is too small, or cut up by what others took.{state} Free memory outside of it does not help.",
            Busy => $"CMA could not give {asked}: {(hasRange ? "a range that is large enough is free in the bitmap, but " : "")}pages in the range are in use by others and could not be moved away (-16, EBUSY: pinned, under writeback, or locked).{state} Not a shortage of memory.",
            _ => $"CMA could not give {asked} in {area}: not a shortage of free memory as a whole. -16 (EBUSY): pages in the range are pinned or under migration; -12 (ENOMEM): no range of the size is free in the area's bitmap.{state}",
        });
        List<Saving> savings = [];
        if (failure.Error != Busy)
        {
            bool? works = failure is { TotalPages: not null, Pages: not null } ? true : null;
            savings.Add(new Saving("cma", failure.Pages is { } more ? string.Create(Plain, $"+{more * pageKiB}K") : "", works, "a larger CMA area (cma=, CONFIG_CMA_SIZE_MBYTES, linux,cma in the device tree): by what is asked for it is large enough for certain") { Cost = 30 });
        }
        else
        {
            savings.Add(new Saving("cma", "", null, "asking again later, or earlier after booting: pages that are pinned for long (a file system's, a driver's, get_user_pages) hold the range; a larger area leaves other ranges to try") { Cost = 30 });
        }

        savings.Add(new Saving("iommu", "", null, "an IOMMU, or a driver that takes scattered pages: then no contiguous range is needed") { Cost = 40 });
        to.SavedBy = savings;
        RequestExplanation.Tail(to);
    }

    /// <summary>What vmalloc's complaint alone tells; false where the zones are needed for the answer.</summary>
    public static bool Vmalloc(ReportExplanation to)
    {
        KernelReport report = to.Report;
        string text = report.Notes.FirstOrDefault(n => n.Contains("vm", StringComparison.Ordinal)) ?? "";
        string size = report.RequestBytes is { } bytes ? string.Create(Plain, $" of {bytes} bytes") : "";
        if (text.Contains("vmap allocation for size", StringComparison.Ordinal) || text.Contains("out of vmalloc space", StringComparison.Ordinal) || text.Contains("vm_struct allocation failed", StringComparison.Ordinal))
        {
            to.Verdict = Verdict.Passes;
            to.WhyList.Add($"Not a shortage of memory: vmalloc's range of kernel addresses has no hole{size} (used up, cut up, or limited to a part such as the modules' area). Pages were not even asked for.");
            to.SavedBy =
            [
                new Saving("vmalloc", "", null, "a larger range of addresses: vmalloc=SIZE on 32-bit machines; a 64-bit kernel has more than it can use, except in the modules' area") { Cost = 30 },
                new Saving("vmallocinfo", "", null, "/proc/vmallocinfo says who holds the range: a leak, modules loaded many times over, large mappings of devices") { Cost = 20 },
            ];
            RequestExplanation.Tail(to);
            return true;
        }

        if (report.RequestBytes == 0 && text.Contains("allocation failure: 0 bytes", StringComparison.Ordinal))
        {
            to.Verdict = Verdict.Passes;
            to.WhyList.Add("Not a shortage of memory: 0 bytes were asked for, which vmalloc refuses: a mistake of the caller (a length that was not computed).");
            RequestExplanation.Tail(to);
            return true;
        }

        return false;
    }
}
