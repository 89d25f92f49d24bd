namespace MemSim.Tool.Views;

/// <summary>The files of <c>/proc</c> and of debugfs (<c>extfrag_index</c>, <c>unusable_index</c>) that <c>boot --show</c> prints.</summary>
internal static class ProcViews
{
    private static readonly (string Name, Func<Machine, string>? Text, string? NotYet)[] Known =
    [
        ("zoneinfo", m => m.Proc.ZoneInfo, null),
        ("buddyinfo", m => m.Proc.BuddyInfo, null),
        ("pagetypeinfo", m => m.Proc.PageTypeInfo, null),
        ("meminfo", m => m.Proc.MemInfo, null),
        ("vmstat", m => m.Proc.VmStat, null),
        ("extfrag_index", m => m.Proc.ExtFragIndex, null),
        ("unusable_index", m => m.Proc.UnusableIndex, null),
        ("slabinfo", m => m.Proc.SlabInfo, null),
        ("vmallocinfo", m => m.Proc.VmallocInfo, null),
        ("pressure", m => m.Proc.PressureMemory, null),
        ("swaps", m => m.Proc.Swaps, null),
        ("cma", m => m.Cma.Text(), null),
    ];

    /// <summary>The names, for help.</summary>
    public static string Names => string.Join(",", Known.Select(k => k.Name));

    /// <summary>The views named, each once, in the order given.</summary>
    /// <param name="lists">Names separated by commas.</param>
    /// <exception cref="BadInputException">A name is unknown, or its subsystem does not exist yet.</exception>
    public static List<(string Name, Func<Machine, string> Text)> Parse(IEnumerable<string> lists)
    {
        List<(string Name, Func<Machine, string> Text)> views = [];
        foreach (string name in lists.SelectMany(l => l.Split(',', StringSplitOptions.TrimEntries)))
        {
            (string Name, Func<Machine, string>? Text, string? NotYet) known = Known.FirstOrDefault(k => k.Name == name);
            if (known.Name is null)
            {
                throw new BadInputException($"--show: there is no view '{name}', only {Names}");
            }

            if (known.Text is null)
            {
                throw new BadInputException($"--show: no {name} yet: {known.NotYet}");
            }

            if (!views.Exists(v => v.Name == name))
            {
                views.Add((name, known.Text));
            }
        }

        return views;
    }
}
