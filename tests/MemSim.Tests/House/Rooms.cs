namespace MemSim.Tests.House;

/// <summary>An arrow that goes up, and why.</summary>
internal sealed record UpwardEdge(string From, string To, string Reason);

/// <summary>The rooms of <c>src/MemSim</c> from the bottom to the top: a room may use those before it, and no other but by an entry of <see cref="Upward"/>.</summary>
internal static class Rooms
{
    public static IReadOnlyList<string> Order { get; } =
    [
        "Diagnostics", "Statistics", "Kernels", "Hardware", "Pages", "Zones", "PageAllocation", "Background", "Slab", "KernelMemory", "Lru",
        "BlockDevices", "PageCache", "Filesystems", "Swap", "VirtualMemory", "Faults", "HugePages", "Hugetlb", "Processes", "ReverseMapping",
        "Migration", "Compaction", "Cma", "Reclaim", "Oom", "Captures", "Boot", "Observability", SourceUses.Facade, "Scenarios",
    ];

    public static IReadOnlyList<UpwardEdge> Upward { get; } = [];

    public static IReadOnlyDictionary<string, string> HarmlessStatics { get; } = new Dictionary<string, string>();

    public static IReadOnlyDictionary<string, string> LargeTypes { get; } = new Dictionary<string, string>();
}
