namespace MemSim.Explorer.Sessions;

/// <summary>Files of <c>/proc</c> by name.</summary>
public static class ProcFiles
{
    private static readonly (string Name, Func<ProcFs, string> Read)[] s_files =
    [
        ("buddyinfo", p => p.BuddyInfo),
        ("zoneinfo", p => p.ZoneInfo),
        ("pagetypeinfo", p => p.PageTypeInfo),
        ("meminfo", p => p.MemInfo),
        ("vmstat", p => p.VmStat),
        ("slabinfo", p => p.SlabInfo),
        ("vmallocinfo", p => p.VmallocInfo),
        ("swaps", p => p.Swaps),
        ("pressure/memory", p => p.PressureMemory),
    ];

    /// <summary>The names.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. s_files.Select(f => f.Name)];

    /// <summary>The text of a file.</summary>
    public static string Read(Machine machine, string name)
    {
        ArgumentNullException.ThrowIfNull(machine);
        return s_files.First(f => f.Name == name).Read(machine.Proc);
    }
}
