namespace MemSim.Reports.Kernels;

/// <summary>The kernels a report can be of: from a version it names, else from what only some kernels print.</summary>
internal readonly record struct KernelRange(KernelRelease From, KernelRelease To, string Reason)
{
    // What a report has, and since and until which kernel reports have it.
    private static readonly (string What, Func<KernelReport, bool> Has, KernelRelease? Since, KernelRelease? Before)[] Signs =
    [
        ("protections[]", static r => r.HasProtections, new(2, 6, 7), new(2, 6, 11)),
        ("no lowmem_reserve[]", static r => !r.IsFromProc && r.Zones.Any(z => z.Blocks is not null) && r.Zones.All(z => z.Figures.Count is > 0 and < 8 && z.LowmemReserve is null), null, new(2, 6, 7)),
        ("lowmem_reserve[]", static r => !r.HasProtections && !r.IsFromProc && r.Zones.Any(z => z.LowmemReserve is not null), new(2, 6, 11), null),
        ("isolated_anon:", static r => r.Totals.ContainsKey("isolated_anon"), new(2, 6, 32), null),
        ("sec_pagetables:", static r => r.Totals.ContainsKey("sec_pagetables"), new(6, 1), null),
        ("waiting requests", static r => r.Head == ReportHead.Stall, new(4, 9), new(4, 15)),
        ("names of flags", static r => !r.IsFromProc && r.Gfp is { Names.Count: > 0 }, new(4, 6), null),
        ("flags without names", static r => !r.IsFromProc && r.Gfp is { Names.Count: 0, Hex: > 0 }, null, new(4, 6)),
        ("managed:", static r => Has(r, "managed"), new(3, 9), null),
        ("free_cma:", static r => Has(r, "free_cma"), new(3, 7), null),
        ("free_pcp:", static r => Has(r, "free_pcp"), new(4, 2), null),
        ("lines of nodes", static r => r.Nodes.Count != 0, new(4, 8), null),
        ("pages_scanned: of a zone", static r => Has(r, "pages_scanned"), null, new(4, 8)),
        ("unstable:", static r => Has(r, "unstable") || r.Totals.ContainsKey("unstable"), null, new(5, 8)),
        ("hot and cold lists", static r => r.ProcSigns.Contains("hot and cold lists"), null, new(2, 6, 25)),
        ("no managed", static r => r.IsFromProc && Has(r, "present") && !Has(r, "managed"), null, new(3, 9)),
        ("per-CPU lists of 6 x batch", static r => r.ProcSigns.Contains("sixfold"), null, new(5, 14)),
        ("pages scanned of a zone", static r => r.ProcSigns.Contains("scanned"), null, new(4, 8)),
        ("per-node stats", static r => r.ProcSigns.Contains("per-node stats"), new(4, 8), null),
        ("type HighAtomic", static r => r.ProcSigns.Contains("HighAtomic"), new(4, 4), null),
        ("type Reserve", static r => r.ProcSigns.Contains("Reserve"), null, new(4, 4)),
        ("reserved_highatomic:", static r => !r.IsFromProc && Has(r, "reserved_highatomic"), new(5, 5), null),
        ("boost:", static r => Has(r, "boost"), new(5, 12), null),
        ("free_highatomic:", static r => Has(r, "free_highatomic"), new(6, 13), null),
        ("zspages:", static r => Has(r, "zspages"), new(6, 18), null),
        ("type H of free blocks", static r => HasType(r, 'H'), new(4, 4), null),
        ("type R of free blocks", static r => HasType(r, 'R'), null, new(4, 4)),
        ("types of free blocks", static r => r.Zones.Any(z => z.Blocks is { } b && b.Any(x => x.Types is not null)), new(3, 8), null),
        ("no types of free blocks", static r => !r.IsFromProc && r.Zones.Any(z => z.Blocks is { } b && b.Any(x => x.Count != 0)) && r.Zones.All(z => z.Blocks is null || z.Blocks.All(x => x.Types is null)), null, new(3, 9)),
        ("active_file:", static r => r.Totals.ContainsKey("active_file"), new(2, 6, 28), null),
        ("active: of all pages", static r => r.Totals.ContainsKey("active"), null, new(2, 6, 28)),
    ];

    /// <summary>The kernels a report can be of.</summary>
    /// <param name="report">The report.</param>
    /// <param name="given">The version a person named; it wins.</param>
    public static KernelRange Of(KernelReport report, KernelRelease? given)
    {
        if (given is { } named)
        {
            return new KernelRange(named, named, $"Linux {named} as asked for");
        }

        if (report.Version is { } version)
        {
            if (report.BuildVersion is { } build)
            {
                return new KernelRange(build, build, $"Linux {build} ({report.Release})");
            }

            // A simulated machine follows the last stable release of its series.
            if (report.Release?.EndsWith("-memsim", StringComparison.Ordinal) == true)
            {
                KernelRelease last = version with { Patch = 9999 };
                return new KernelRange(last, last, $"Linux {version.Major}.{version.Minor}, the last stable release ({report.Release})");
            }

            // A distribution's release names the series (5.10.0-28), not which stable release it holds.
            bool series = version.Patch == 0 && report.Release is { } release && release.StartsWith($"{version}-", StringComparison.Ordinal) && !release.Contains("-rc", StringComparison.Ordinal) && version.Major > 2;
            return new KernelRange(version, series ? version with { Patch = 9999 } : version, $"Linux {version} ({report.Release})");
        }

        KernelRange shown = Shown(report);
        if (report.NearbyKernel is { } near && near.Version >= shown.From && near.Version <= shown.To)
        {
            return new KernelRange(near.Version, near.Version, $"Linux {near.Version} ({near.Release}), which another line of the log names");
        }

        return shown;
    }

    /// <summary>The kernels whose reports have what this one has.</summary>
    private static KernelRange Shown(KernelReport report)
    {
        KernelRelease from = KernelRelease.Oldest;
        KernelRelease to = KernelRelease.Newest;
        List<string> reasons = [];
        foreach ((string what, Func<KernelReport, bool> has, KernelRelease? since, KernelRelease? before) in Signs)
        {
            if (!has(report))
            {
                continue;
            }

            if (since is { } first && first > from)
            {
                from = first;
                reasons.Add($"{what.TrimEnd(':')}: since {first}");
            }

            if (before is { } end && end < to)
            {
                to = end;
                reasons.Add($"{what.TrimEnd(':')}: before {end}");
            }
        }

        if (report.OldestHint is { } oldest && oldest > from)
        {
            from = oldest;
        }

        if (report.NewestHint is { } newest && newest < to)
        {
            to = newest;
        }

        return from >= to
            ? new KernelRange(from, from, "the kernel's version is not in the text, and signs of its age contradict each other")
            : new KernelRange(from, Below(to), reasons.Count == 0 ? "the kernel's version is not in the text" : "the kernel's version is not in the text; " + string.Join(", ", reasons.TakeLast(2)));
    }

    /// <summary>The last version before one.</summary>
    private static KernelRelease Below(KernelRelease version) => version == KernelRelease.Newest ? version
        : version.Patch > 0 ? version with { Patch = version.Patch - 1 }
        : version.Minor > 0 ? new KernelRelease(version.Major, version.Minor - 1, 9999)
        : new KernelRelease(version.Major - 1, 9999, 9999);

    private static bool Has(KernelReport report, string figure) => report.Zones.Any(z => z.Figures.ContainsKey(figure));

    private static bool HasType(KernelReport report, char type) => report.Zones.Any(z => z.Blocks is { } blocks && blocks.Any(b => b.Types?.Contains(type) == true));
}
