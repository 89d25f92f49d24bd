using System.Globalization;
using System.Text;

namespace MemSim.Observability;

/// <summary>The files of <c>/sys/kernel/mm/transparent_hugepage</c> and <c>/sys/kernel/mm/hugepages</c>, a line each: <c>path = text</c>.</summary>
internal static class HugePagesText
{
    private static readonly string[] EnabledWords = ["always", "madvise", "never"];
    private static readonly string[] DefragWords = ["always", "defer", "defer+madvise", "madvise", "never"];

    public static string Of(Machine machine)
    {
        StringBuilder text = new();
        foreach (HugetlbPool pool in machine.Hugetlb.Pools.OrderBy(pool => Number((long)pool.PageSize.Bytes >> 10), StringComparer.Ordinal))
        {
            AppendPool(text, machine, pool);
        }

        AppendTransparent(text, machine.HugePages);
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

    private static void AppendTransparent(StringBuilder text, HugePageSettings huge)
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
        Line(text, "use_zero_page", huge.UseZeroPage ? "1" : "0");
    }

    private static string Choice(string[] words, string chosen) => string.Join(' ', words.Select(word => word == chosen ? $"[{word}]" : word));

    private static void Line(StringBuilder text, string file, string value) => text.Append("transparent_hugepage/").Append(file).Append(" = ").Append(value).Append('\n');

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);
}
