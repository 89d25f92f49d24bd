namespace MemSim.Explorer.Pictures;

/// <summary>What the colours of the picture say.</summary>
/// <param name="Id">Its name in <c>map.js</c>.</param>
/// <param name="Text">Its name for people.</param>
/// <param name="Legend">Texts and the variables of their colours.</param>
public sealed record MapMode(string Id, string Text, IReadOnlyList<(string Text, string Colour)> Legend)
{
    private static readonly (string, string) s_free = ("free", "--map-quiet");
    private static readonly (string, string) s_boot = ("kernel, since boot", "--use-boot");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<MapMode> All { get; } =
    [
        new("order", "free order", [.. Enumerable.Range(0, PageGeometry.OrderCount).Select(o => ($"free, order {o}", $"--free-{o}")), ("in a CPU's list", "--use-pcp"), ("in use", "--map-used"), s_boot]),
        new("type", "migrate type", [("unmovable", "--type-unmovable"), ("movable", "--type-movable"), ("reclaimable", "--type-reclaimable"), ("high atomic", "--type-highatomic"), ("CMA", "--type-cma"), ("isolated", "--type-isolate"), ("pale: free", "--type-movable-free"), s_boot]),
        new("owner", "owner", [("free", "--use-free"), ("in a CPU's list", "--use-pcp"), ("kernel", "--use-kernel"), ("slab", "--use-slab"), ("page table", "--use-table"), ("anonymous", "--use-anon"), ("file", "--use-file"), ("shared memory", "--use-shmem"), ("driver, movable", "--use-movable"), s_boot, ("reserved", "--use-reserved")]),
        new("lru", "list by age (LRU)", [("inactive anon", "--lru-inactive-anon"), ("active anon", "--lru-active-anon"), ("inactive file", "--lru-inactive-file"), ("active file", "--lru-active-file"), ("unevictable", "--lru-unevictable"), ("on no list", "--lru-none"), s_free]),
        new("age", "age of the block", [("just allocated", "--age-0"), ("", "--age-1"), ("", "--age-2"), ("", "--age-3"), ("", "--age-4"), ("", "--age-5"), ("", "--age-6"), ("long ago", "--age-7"), s_free]),
    ];

    private static readonly MapMode s_generations = new("lru", "generation (MGLRU)",
        [("youngest", "--lru-gen-0"), ("one older", "--lru-gen-1"), ("two older", "--lru-gen-2"), ("three older, the first to go", "--lru-gen-3"), ("unevictable", "--lru-unevictable"), ("on no list", "--lru-none"), s_free]);

    /// <summary>Those of a machine: where pages have generations instead of active and inactive lists (<c>lru_gen</c>), colours say which.</summary>
    public static IReadOnlyList<MapMode> For(Machine machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        return machine.Reclaim.LruGen.IsEnabled ? [.. All.Select(m => m.Id == s_generations.Id ? s_generations : m)] : All;
    }

    /// <summary>The one of that name.</summary>
    public static MapMode Of(string id, Machine machine) => For(machine).FirstOrDefault(m => m.Id == id) ?? All[0];
}
