using System.Globalization;

namespace MemSim.Reports.Explaining;

/// <summary>Explains the OOM killer of a memory cgroup: a limit, not the machine's memory.</summary>
internal static class CgroupExplanation
{
    private static readonly CultureInfo Plain = CultureInfo.InvariantCulture;

    /// <summary>Above this a limit means none.</summary>
    private const long NoLimitKiB = 1L << 50;

    public static void Fill(ReportExplanation to)
    {
        KernelReport report = to.Report;
        ReportedCgroup group = report.Cgroup ?? new ReportedCgroup();
        int pageKiB = to.PageSizeKiB ?? 4;
        to.Verdict = Verdict.Limit;
        string name = group.Path is null ? "a memory cgroup" : $"the memory cgroup {group.Path}";
        bool swapBinds = group.SwapIncludesMemory && group.SwapLimitKiB is { } both && both < NoLimitKiB && group.SwapUsageKiB >= both && group.UsageKiB < group.LimitKiB;
        bool kernelBinds = group.Kmem is { } own && own.LimitKiB < NoLimitKiB && own.UsageKiB >= own.LimitKiB && group.UsageKiB < group.LimitKiB;
        to.WhyList.Add(swapBinds
            ? $"The limit of memory and swap together (memory.memsw.limit_in_bytes) of {name} was hit, not the machine's memory: {Amount.KiB(group.SwapUsageKiB!.Value)} used of {Amount.KiB(group.SwapLimitKiB!.Value)}. The limit of memory alone was not: {Amount.KiB(group.UsageKiB ?? 0)} of {Amount.KiB(group.LimitKiB ?? 0)}."
            : kernelBinds
            ? $"The limit of kernel memory of {name} was hit, not the machine's memory: {Amount.KiB(group.Kmem!.Value.UsageKiB)} used of {Amount.KiB(group.Kmem.Value.LimitKiB)}; memory as a whole: {Amount.KiB(group.UsageKiB ?? 0)} of {Amount.KiB(group.LimitKiB ?? 0)}."
            : group.LimitKiB is { } limit
            ? $"The limit of {name} was hit, not the machine's memory: {Amount.KiB(group.UsageKiB ?? 0)} used of {Amount.KiB(limit)}. There are no zones to explain."
            : $"The limit of {name} was hit, not the machine's memory: there are no zones to explain. The lines with usage and limit are not in the text, so the limit is not known.");
        if (group.TaskPath is { } task && group.Path is { } path && task != path && task.StartsWith(path, StringComparison.Ordinal))
        {
            to.WhyList.Add($"The victim is in {task}; the limit that was hit is that of an ancestor, {path}: what its other children use counts as well.");
        }

        if (!swapBinds && group.SwapLimitKiB is { } swapLimit && group.SwapUsageKiB is { } swapUsage && swapLimit < NoLimitKiB && swapUsage >= swapLimit)
        {
            to.WhyList.Add($"{(group.SwapIncludesMemory ? "Memory and swap together are" : "Swap is")} at the limit too: {Amount.KiB(swapUsage)} of {Amount.KiB(swapLimit)}.");
        }

        if (!kernelBinds && group.Kmem is { } kmem && kmem.LimitKiB < NoLimitKiB && kmem.UsageKiB >= kmem.LimitKiB)
        {
            to.WhyList.Add($"Kernel memory is at its own limit: {Amount.KiB(kmem.UsageKiB)} of {Amount.KiB(kmem.LimitKiB)}.");
        }

        Holders(to, group, pageKiB, countsSwap: swapBinds);
        RequestExplanation.Tail(to);
        List<Saving> savings = [];
        if (swapBinds)
        {
            savings.Add(new Saving("memory.memsw.limit_in_bytes", string.Create(Plain, $">{group.SwapLimitKiB!.Value}K"), true, $"a limit of memory and swap together above {Amount.KiB(group.SwapLimitKiB.Value)} (docker: --memory-swap)") { Cost = 5 });
        }

        if (kernelBinds)
        {
            savings.Add(new Saving("memory.kmem.limit_in_bytes", string.Create(Plain, $">{group.Kmem!.Value.LimitKiB}K"), true, $"a limit of kernel memory above {Amount.KiB(group.Kmem.Value.LimitKiB)}") { Cost = 5 });
        }

        string needed = group.LimitKiB is { } known ? string.Create(Plain, $">{known}K") : "";
        savings.Add(new Saving("memory.max", needed, group.LimitKiB is null ? null : !swapBinds && !kernelBinds, group.LimitKiB is null
            ? "a larger memory limit of the group (limits.memory of the pod): how much larger the report does not tell"
            : swapBinds || kernelBinds ? "a larger limit of memory alone: it was not the one that was hit"
            : $"a memory limit above {Amount.KiB(group.LimitKiB.Value)}: the failed charge was of one page, how much the workload wants in the end the report does not tell")
        { Cost = 10 });
        if (group.SwapLimitKiB is 0 || (report.Closing.TryGetValue("swap total", out long swap) && swap == 0))
        {
            savings.Add(new Saving("memory.swap.max", ">0", null, "swap for the group: anonymous memory could leave") { Cost = 30 });
        }

        long file = group.Stat.TryGetValue("file", out long bytes) || group.Stat.TryGetValue("cache", out bytes) ? bytes : -1;
        if (file == 0)
        {
            to.NoteList.Add("the group has no file pages: nothing could be reclaimed without swap");
        }

        to.SavedBy = [.. savings.OrderBy(s => s.Works switch { true => 0, null => 1, _ => 2 }).ThenBy(s => s.Cost)];
    }

    private static void Holders(ReportExplanation to, ReportedCgroup group, int pageKiB, bool countsSwap)
    {
        KernelReport report = to.Report;
        ReportedTask? largest = report.Tasks.MaxBy(t => (t.RssPages ?? 0) + (countsSwap ? t.SwapPages ?? 0 : 0));
        if (largest is not null)
        {
            string swap = largest.SwapPages > 0 ? $", {Amount.Pages(largest.SwapPages.Value, pageKiB)} in swap" : "";
            string tables = largest.PageTableBytes > 1 << 20 ? $", page tables {Amount.KiB(largest.PageTableBytes.Value >> 10)}" : "";
            to.WhyList.Add(string.Create(Plain, $"Main holder: {largest.Name} (pid {largest.Pid}): rss {Amount.Pages(largest.RssPages ?? 0, pageKiB)}{swap}{tables}."));
        }

        foreach (ReportedTask task in report.Tasks.Where(t => t.ScoreAdj <= -998).Take(2))
        {
            to.NoteList.Add(string.Create(Plain, $"{task.Name} (pid {task.Pid}) has oom_score_adj {task.ScoreAdj}: {(task.ScoreAdj == -1000 ? "it is never chosen" : "it is chosen last")}"));
        }

        (string Name, long Bytes)[] parts = [.. group.Stat.Where(s => s.Key is "anon" or "rss" or "file" or "cache" or "shmem" or "kernel_stack" or "pagetables" or "slab" or "sock" or "percpu" or "vmalloc" && s.Value > 1 << 20).Select(s => (s.Key, s.Value)).OrderByDescending(s => s.Value)];
        if (parts.Length != 0)
        {
            to.WhyList.Add("In the group: " + string.Join(", ", parts.Select(p => $"{p.Name} {Amount.KiB(p.Bytes >> 10)}")) + ".");
        }
    }
}
