namespace MemSim.Reports.Kernels;

/// <summary>Rules of the check whether a zone has enough memory, as far as they differ between kernels.</summary>
[Flags]
internal enum KernelRule
{
    None = 0,
    HalvesByOrder = 1 << 0,
    WaitlessTriesHarder = 1 << 1,
    Cma = 1 << 2,
    HighAtomicReserve = 1 << 3,
    AtomicTriesHarder = 1 << 4,
    QuickOrderZero = 1 << 5,
    Boost = 1 << 6,
    AtomicIgnoresBoost = 1 << 7,
    RightsKeepHighAtomic = 1 << 8,
    NonBlockTakesHighAtomic = 1 << 9,
    FreeHighAtomicOnly = 1 << 10,
    ReserveIsProtected = 1 << 11,
    NodeWideOom = 1 << 12,
}

/// <summary>Which kernels follow which rule: the one place that knows versions.</summary>
internal static class KernelRules
{
    private static readonly Row[] Table =
    [
        new(KernelRule.ReserveIsProtected, new(2, 6, 7), null, [], "lower zones keep pages back from requests that could use higher ones"),
        new(KernelRule.HalvesByOrder, new(2, 6, 10), new(4, 4), [], "for each order below the request's, its free blocks are taken off and the limit is halved"),
        new(KernelRule.WaitlessTriesHarder, new(2, 6, 10), new(4, 4), [], "a request that cannot wait may go a quarter further below the limit"),
        new(KernelRule.Cma, new(3, 7), null, [], "free pages of CMA do not count for requests that may not use them"),
        new(KernelRule.HighAtomicReserve, new(4, 4), null, [], "page blocks reserved for atomic requests of order 1 and more do not count for others; above order 0 one block that is large enough suffices"),
        new(KernelRule.AtomicTriesHarder, new(4, 4), new(6, 3), [new(6, 1, 117)], "__GFP_ATOMIC goes a quarter further below the limit and counts the highatomic reserve"),
        new(KernelRule.QuickOrderZero, new(4, 7), new(5, 9), [], "order 0 is checked without the highatomic reserve"),
        new(KernelRule.Boost, new(5, 0), null, [], "fragmentation raises the watermarks for a while"),
        new(KernelRule.AtomicIgnoresBoost, new(5, 8), null, [], "GFP_ATOMIC of order 0 ignores the boost"),
        new(KernelRule.RightsKeepHighAtomic, new(6, 3), null, [new(6, 1, 117)], "every request with a right below the watermark counts the highatomic reserve; a quarter more only for __GFP_HIGH that cannot wait"),
        new(KernelRule.NonBlockTakesHighAtomic, new(6, 12), null, [new(6, 1, 117), new(6, 6, 61), new(6, 11, 8)], "requests that cannot wait may take single pages from highatomic blocks"),
        new(KernelRule.FreeHighAtomicOnly, new(6, 13), null, [new(6, 12, 2)], "of the highatomic reserve only what is free is taken off"),
    ];

    /// <summary>The rules of a kernel.</summary>
    public static KernelRule Of(KernelRelease version)
    {
        KernelRule rules = KernelRule.None;
        foreach (Row row in Table)
        {
            if (row.Holds(version))
            {
                rules |= row.Rule;
            }
        }

        return rules;
    }

    /// <summary>The sets of rules in force from one kernel to another, oldest first, each with the first version that has it.</summary>
    public static List<(KernelRule Rules, KernelRelease Since)> Between(KernelRelease from, KernelRelease to)
    {
        List<KernelRelease> changes = [from];
        foreach (Row row in Table)
        {
            foreach (KernelRelease? change in (KernelRelease?[])[row.Since, row.Until, .. row.Backports.Select(b => (KernelRelease?)b)])
            {
                if (change is { } version && version > from && version <= to)
                {
                    changes.Add(version);
                }
            }
        }

        List<(KernelRule Rules, KernelRelease Since)> sets = [];
        foreach (KernelRelease version in changes.Distinct().Order())
        {
            KernelRule rules = Of(version);
            if (!sets.Any(s => s.Rules == rules))
            {
                sets.Add((rules, version));
            }
        }

        return sets;
    }

    /// <summary>What a rule says.</summary>
    public static string Text(KernelRule rule) => Array.Find(Table, r => r.Rule == rule)?.Text ?? "";

    /// <summary>When a rule came.</summary>
    public static KernelRelease Since(KernelRule rule) => Array.Find(Table, r => r.Rule == rule)?.Since ?? KernelRelease.Oldest;

    private sealed record Row(KernelRule Rule, KernelRelease Since, KernelRelease? Until, KernelRelease[] Backports, string Text)
    {
        public bool Holds(KernelRelease version)
        {
            bool backported = Backports.Any(b => b.Major == version.Major && b.Minor == version.Minor && version >= b);
            return Until is { } until ? version >= Since && version < until && !backported : version >= Since || backported;
        }
    }
}
