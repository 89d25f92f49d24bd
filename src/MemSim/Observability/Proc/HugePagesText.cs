using System.Globalization;
using System.Text;
using MemSim.HugePages;
using MemSim.Statistics;

namespace MemSim.Observability;

/// <summary>The files of <c>/sys/kernel/mm/transparent_hugepage</c> and <c>/sys/kernel/mm/hugepages</c>, a line each: <c>path = text</c>.</summary>
internal static class HugePagesText
{
    private static readonly string[] EnabledWords = ["always", "madvise", "never"];
    private static readonly string[] SizeWords = ["always", "inherit", "madvise", "never"];
    private static readonly string[] ShmemWords = ["always", "inherit", "within_size", "advise", "never"];
    private static readonly string[] DefragWords = ["always", "defer", "defer+madvise", "madvise", "never"];

    public static string Of(Machine machine)
    {
        StringBuilder text = new();
        foreach (HugetlbPool pool in machine.Hugetlb.Pools.OrderBy(pool => Number((long)pool.PageSize.Bytes >> 10), StringComparer.Ordinal))
        {
            AppendPool(text, machine, pool);
        }

        AppendTransparent(text, machine, machine.HugePages);
        return text.ToString();
    }

    private static void AppendPool(StringBuilder text, Machine machine, HugetlbPool pool)
    {
        HugetlbPool? smaller = machine.Hugetlb.Pools.FirstOrDefault(other => other.PageSize.Bytes < pool.PageSize.Bytes);
        if (smaller is not null)
        {
            File("demote_size", $"{smaller.PageSize.Bytes >> 10}kB");
        }

        File("free_hugepages", Number(pool.Free));
        File("nr_hugepages", Number(pool.Total));
        if (KernelBuild.HasNuma(machine))
        {
            File("nr_hugepages_mempolicy", Number(pool.Total));
        }

        File("nr_overcommit_hugepages", Number(pool.Overcommit));
        File("resv_hugepages", Number(pool.Reserved));
        File("surplus_hugepages", Number(pool.Surplus));

        void File(string name, string value) => text.Append(CultureInfo.InvariantCulture, $"hugepages/hugepages-{pool.PageSize.Bytes >> 10}kB/{name} = {value}\n");
    }

    private static void AppendTransparent(StringBuilder text, Machine machine, HugePageSettings huge)
    {
        if (!huge.IsAvailable)
        {
            return;
        }

        Khugepaged thread = huge.Khugepaged;
        string enabled = huge.Enabled switch { TransparentHugePages.Always => "always", TransparentHugePages.Madvise => "madvise", _ => "never" };
        Line(text, "defrag", Choice(DefragWords, DefragWords[(int)huge.Defrag]));
        Line(text, "enabled", Choice(EnabledWords, enabled));
        Line(text, "hpage_pmd_size", Number((long)huge.PageSize.Bytes));
        foreach (HugePageSize size in huge.Sizes.OrderBy(size => size.ToString(), StringComparer.Ordinal))
        {
            AppendSize(text, machine, size);
        }

        Line(text, "khugepaged/alloc_sleep_millisecs", "60000");
        Line(text, "khugepaged/defrag", thread.Defrag ? "1" : "0");
        Line(text, "khugepaged/full_scans", Number(thread.FullScans));
        Line(text, "khugepaged/max_ptes_none", Number(thread.MaxEmpty));
        Line(text, "khugepaged/max_ptes_shared", Number(thread.MaxShared));
        Line(text, "khugepaged/max_ptes_swap", Number(thread.MaxSwapped));
        Line(text, "khugepaged/pages_collapsed", Number(thread.PagesCollapsed));
        Line(text, "khugepaged/pages_to_scan", Number(thread.PagesToScan));
        Line(text, "khugepaged/scan_sleep_millisecs", Number((long)thread.ScanSleep.TotalMilliseconds));
        Line(text, "shmem_enabled", "always within_size advise [never] deny force");
        if (huge.Sizes.Count != 0)
        {
            Line(text, "shrink_underused", "1");
        }

        Line(text, "use_zero_page", huge.UseZeroPage ? "1" : "0");
    }

    /// <summary>The folder of a size: without what only anonymous memory has where that has none of it, and without what came with later kernels.</summary>
    private static void AppendSize(StringBuilder text, Machine machine, HugePageSize size)
    {
        if (size.IsOfAnonymous)
        {
            Line(text, $"{size}/enabled", Choice(SizeWords, SizeWords[(int)size.Enabled switch { (int)HugePageSizePolicy.Always => 0, (int)HugePageSizePolicy.Inherit => 1, (int)HugePageSizePolicy.Madvise => 2, _ => 3 }]));
        }

        Line(text, $"{size}/shmem_enabled", Choice(ShmemWords, size.Order == machine.HugePages.Sizes[^1].Order ? "inherit" : "never"));
        for (HugePageStat stat = 0; stat <= HugePageStat.Zswpout; stat++)
        {
            string name = HugePageSize.NameOf(stat);
            Presence since = name.StartsWith("collapse_", StringComparison.Ordinal) ? Presence.Since7_3
                : name.StartsWith("swpin", StringComparison.Ordinal) || stat == HugePageStat.Zswpout ? Presence.Since6_18
                : Presence.Always;
            bool isOfAnonymous = stat is HugePageStat.SplitDeferred || name.Contains("anon", StringComparison.Ordinal) || name.StartsWith("collapse_exceed", StringComparison.Ordinal);
            if (KernelBuild.Prints(machine, since) && (size.IsOfAnonymous || !isOfAnonymous))
            {
                Line(text, $"{size}/stats/{name}", Number(size.Read(stat)));
            }
        }
    }

    private static string Choice(string[] words, string chosen) => string.Join(' ', words.Select(word => word == chosen ? $"[{word}]" : word));

    private static void Line(StringBuilder text, string file, string value) => text.Append("transparent_hugepage/").Append(file).Append(" = ").Append(value).Append('\n');

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);
}
