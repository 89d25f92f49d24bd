namespace MemSim.Reports.Explaining;

// What could have been freed: slab, file pages, anonymous memory with swap; and nodes that are forbidden.
internal sealed partial class WhatIfs
{
    private void Reclaim()
    {
        long missing = _evaluation.Eligible.Where(z => z.Check.HasPages == false).Select(z => z.Check.Missing ?? long.MaxValue).DefaultIfEmpty(0).Min();
        if (missing is <= 0 or long.MaxValue)
        {
            return;
        }

        long slab = Total("slab_reclaimable");
        if (slab > 0)
        {
            // Before the OOM killer is called the shrinkers have been asked, again and again: what is left they would not give.
            string tried = _evaluation.IsOom ? "; reclaim had asked for them before the OOM killer was called" : "";
            Add("slab", "vm.drop_caches=2", slab >= missing ? _request.Order == 0 && !_evaluation.IsOom ? true : null : false, Sysctl + 2, $"reclaimable slab (dentries, inodes; vm.drop_caches=2 or a larger vm.vfs_cache_pressure): {Amount.Pages(slab, _pageKiB)}, {Amount.Pages(missing, _pageKiB)} are missing{tried}");
        }

        // Those that somebody has reserved stay, and how many that are the report does not tell.
        if (_report.Closing.TryGetValue("hugetlb free", out long pool) && pool > 0)
        {
            Add("nr_hugepages", "", pool / _pageKiB >= missing ? null : false, Sysctl, $"fewer huge pages (vm.nr_hugepages): {Amount.KiB(pool)} of the pools are not in use, {Amount.Pages(missing, _pageKiB)} are missing");
        }

        long anon = Total("active_anon") + Total("inactive_anon");
        bool noSwap = _report.Closing.TryGetValue("swap total", out long swap) && swap == 0;
        bool fullSwap = !noSwap && _report.Closing.TryGetValue("swap free", out long free) && free < missing * _pageKiB;
        if (anon > 0 && (noSwap || fullSwap) && _evaluation.IsOom)
        {
            Add("swap", $"{missing * _pageKiB}K", _request.Order == 0 && anon >= missing ? true : null, BootParameter, $"{(noSwap ? "swap: there is none" : "more swap: it is full")}, and {Amount.Pages(anon, _pageKiB)} of anonymous memory cannot leave");
        }

        long lru = Total("active") + Total("inactive");
        if (anon == 0 && lru > 0 && noSwap && _evaluation.IsOom)
        {
            Add("swap", $"{missing * _pageKiB}K", null, BootParameter, $"swap: there is none, and of {Amount.Pages(lru, _pageKiB)} on the LRU the anonymous ones cannot leave (how many that is this kernel does not print)");
        }

        if (_evaluation.IsOom)
        {
            Add("memory", $"{missing * _pageKiB}K", null, Hardware, $"more memory, or less use of it: {Amount.Pages(missing, _pageKiB)} more would have let this request pass, the workload wants more than that");
        }
    }

    /// <summary>The request as one that may wait: held to the watermark without the rights of one that may not, but allowed to reclaim.</summary>
    private void Sleeping()
    {
        List<long?> parts = [.. _evaluation.Eligible.Select(z => Reclaimable(z.Facts))];
        // Since 4.8 the zones print their file pages and leave the slab to the line of totals.
        long slab = _evaluation.Eligible.Any(z => _report.Zone(z.Facts.Node, z.Facts.Name)?.KiB("slab_reclaimable") is not null) ? 0 : Total("slab_reclaimable");
        long reclaimable = parts.Sum(p => p ?? 0) + slab;
        RequestFacts kernel = _request with { Gfp = (_request.Gfp & ~(Gfp.High | Gfp.AtomicBit)) | Gfp.Kernel };
        long missing = _evaluation.Eligible.Select(z => ZoneCheck.Run(z.Facts, kernel, _evaluation.Rules, z.Facts.Min).Missing ?? long.MaxValue).DefaultIfEmpty(0).Min();
        bool enough = reclaimable >= missing;
        bool swaps = _report.Closing.TryGetValue("swap free", out long swap) && swap > 0 && Total("active_anon") + Total("inactive_anon") > 0;
        bool? works = parts.Contains(null) || swaps && !enough ? null : !enough && reclaimable < 1L << _request.Order ? false : _request.Order == 0 ? enough : null;
        string what = parts.Contains(null) ? "" : $" ({Amount.Pages(reclaimable, _pageKiB)} of file pages and reclaimable slab{(swaps && !enough ? ", and anonymous memory to swap" : "")})";
        Add("gfp", "GFP_KERNEL", works, Code, $"GFP_KERNEL, where the caller may sleep: it could reclaim{what} and compact instead of failing at once");
    }

    private void Policy()
    {
        if (_evaluation.Zones.Exists(z => z.Forbidden && z.Check.Passes == true))
        {
            string nodes = string.Join(", ", _evaluation.Zones.Where(z => z.Forbidden && z.Check.Passes == true).Select(z => z.Facts.Title));
            Add(_report.NodeMask is null ? "cpuset.mems" : "mempolicy", "", true, Sysctl, $"a wider {(_report.NodeMask is null ? "cpuset.mems" : "memory policy (mbind, numactl --membind)")}: {nodes} would pass");
        }
    }

    private long Total(string name) => ConsumerList.Total(_report, name, _pageKiB);

    /// <summary>File pages and the zone's reclaimable slab; null where the report does not tell.</summary>
    private long? Reclaimable(ZoneFacts zone)
    {
        ReportedZone? reported = _report.Zone(zone.Node, zone.Name);
        return reported?.KiB("inactive_file") is { } file ? (file + (reported.KiB("active_file") ?? 0) + (reported.KiB("slab_reclaimable") ?? 0)) / _pageKiB : null;
    }

    /// <summary>Pages on the LRU lists, which compaction can move; null where the report does not tell.</summary>
    private long? Movable(ZoneFacts zone)
    {
        ReportedZone? reported = _report.Zone(zone.Node, zone.Name);
        if (reported is null || reported.Figures.Count == 0)
        {
            return null;
        }

        long kib = 0;
        bool some = false;
        foreach (string figure in (ReadOnlySpan<string>)["active_anon", "inactive_anon", "active_file", "inactive_file", "active", "inactive"])
        {
            if (reported.KiB(figure) is { } value)
            {
                kib += value;
                some = true;
            }
        }

        return some ? kib / _pageKiB : null;
    }
}
