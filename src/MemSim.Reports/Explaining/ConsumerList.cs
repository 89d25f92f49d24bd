namespace MemSim.Reports.Explaining;

/// <summary>Who holds the memory of the machine, as far as a report tells; the rest is what nobody accounts for.</summary>
internal static class ConsumerList
{
    /// <summary>Parts of memory that do not overlap, by the kernel's names.</summary>
    private static readonly (string Name, string[] Totals)[] Parts =
    [
        ("anonymous memory", ["active_anon", "inactive_anon", "isolated_anon"]),
        ("file pages", ["active_file", "inactive_file", "isolated_file"]),
        ("pages on the LRU", ["active", "inactive"]),
        ("unevictable", ["unevictable"]),
        ("slab, reclaimable", ["slab_reclaimable"]),
        ("slab, unreclaimable", ["slab_unreclaimable"]),
        ("slab", ["slab"]),
        ("page tables", ["pagetables", "sec_pagetables"]),
        ("per-CPU lists", ["free_pcp"]),
        ("free", ["free"]),
    ];

    public static List<Consumer> Of(KernelReport report, int pageKiB)
    {
        List<Consumer> list = [];
        long known = 0;
        foreach ((string name, string[] totals) in Parts)
        {
            long pages = 0;
            foreach (string total in totals)
            {
                pages += Math.Clamp(Total(report, total, pageKiB), 0, long.MaxValue >> 24);
            }

            known += pages;
            if (pages > 0)
            {
                list.Add(new Consumer(name, pages * pageKiB));
            }
        }

        // Compressed swap; in reports since 6.18.
        long compressed = report.Zones.Sum(z => z.KiB("zspages") ?? 0);
        if (compressed > 0)
        {
            known += compressed / pageKiB;
            list.Add(new Consumer("compressed swap", compressed, "zsmalloc: zram or zswap"));
        }

        // Pages of the hugetlb pools are on no list and in no other counter, whether somebody uses them or not.
        long huge = report.Closing.TryGetValue("hugetlb", out long pools) ? pools : 0;
        if (huge > 0)
        {
            known += huge / pageKiB;
            long unused = report.Closing.TryGetValue("hugetlb free", out long idle) ? idle : 0;
            list.Add(new Consumer("huge pages (hugetlb)", huge, $"{Amount.KiB(unused)} of it not in use"));
        }

        long stacks = report.Nodes.Values.Sum(n => n.TryGetValue("kernel_stack", out long kib) ? kib : 0) + report.Zones.Sum(z => z.KiB("kernel_stack") ?? 0);
        if (stacks > 0)
        {
            list.Add(new Consumer("kernel stacks", stacks));
        }

        if (report.Totals.ContainsKey("free") && Usable(report) is { } usable)
        {
            long rest = (usable - known) * pageKiB - stacks;
            if (rest > 0)
            {
                list.Add(new Consumer("not accounted for", rest, $"vmalloc, drivers, DMA buffers, a balloon, GPU memory{(report.HasHugePages == true && !report.IsFromProc ? "" : ", huge pages")}: no counter of the report says"));
            }
        }

        foreach (ReportedTask task in report.Tasks.Take(3))
        {
            // What is in swap is not held: it is told beside.
            long pages = task.RssPages ?? 0;
            if (pages > 0)
            {
                string swap = task.SwapPages is > 0 and long outside ? $", and {Amount.Pages(outside, pageKiB)} in swap" : "";
                list.Add(new Consumer($"task {task.Name}", pages * pageKiB, $"pid {task.Pid}{swap}"));
            }
        }

        foreach ((string name, _, long total) in report.SlabCaches.OrderByDescending(c => c.TotalKiB).Take(3))
        {
            list.Add(new Consumer($"slab cache {name}", total));
        }

        return [.. list.OrderByDescending(c => c.KiB)];
    }

    /// <summary>A total in pages; where the totals are cut off, what the nodes or zones add up to.</summary>
    public static long Total(KernelReport report, string name, int pageKiB)
    {
        if (report.Totals.TryGetValue(name, out long value))
        {
            return value;
        }

        long nodes = report.Nodes.Values.Sum(n => n.TryGetValue(name, out long kib) ? kib : 0);
        return (nodes != 0 ? nodes : report.Zones.Sum(z => z.KiB(name) ?? 0)) / pageKiB;
    }

    /// <summary>Pages given to the allocator.</summary>
    private static long? Usable(KernelReport report)
    {
        if (report.Closing.TryGetValue("ram", out long ram) && report.Closing.TryGetValue("reserved", out long reserved))
        {
            return ram - reserved;
        }

        return null;
    }
}
