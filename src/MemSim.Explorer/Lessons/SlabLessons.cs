using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Lessons;

/// <summary>Slab caches.</summary>
internal static class SlabLessons
{
    private static readonly MachineChoice s_small = new(Memory: "256M", Cpus: 1);

    public static Lesson Slabs { get; } = new(
        "slab",
        "Objects in slabs",
        "Watch a slab fill: objects of one size side by side in a few pages, and the slab going from empty to partial to full.",
        s_small,
        [
            new("cache inode 600", s => $"A cache for objects of 600 bytes: {Cache(s, "inode").ObjectsPerSlab} of them fit in a slab of {1 << Cache(s, "inode").Order} pages. It has no slab yet.", s => SlabsOf(s, "inode").Count == 0),
            new("object inode as first", s => "The first object brings a slab: the page allocator gave its pages, the CPU keeps the rest of its objects for the next requests.", s => SlabsOf(s, "inode").Count == 1),
            new("object inode count=20 as some", s => $"More objects come from the CPU's free list, without touching the page allocator: {Live(s)} objects in {SlabsOf(s, "inode").Count} slabs.", s => Live(s) == 21),
            new("object inode count=200 as many", s => $"{SlabsOf(s, "inode").Count} slabs, {SlabsOf(s, "inode").Count(d => d.State == SlabState.Full)} of them full.", s => SlabsOf(s, "inode").Count(d => d.State == SlabState.Full) > 2),
            new("kfree many every=2", s => $"Every second one freed: {SlabsOf(s, "inode").Count(d => d.State == SlabState.Partial)} slabs are partial now. Their pages are not free: one object keeps a slab.", s => SlabsOf(s, "inode").Count(d => d.State == SlabState.Partial) > 2),
            new("object inode count=60 as again", s => $"New objects fill the holes of partial slabs before any new slab is made: still {SlabsOf(s, "inode").Count}.", s => Live(s) == 181),
            new("kmalloc 100 as buffer", s => $"kmalloc() has caches of fixed sizes: 100 bytes were asked for, {s.Cpu.Slab.Ksize(((HeldObjects)s.Held["buffer"]).Objects[0])} were given.", s => s.Cpu.Slab.Ksize(((HeldObjects)s.Held["buffer"]).Objects[0]) == 128),
        ])
    {
        Panels = LessonPanels.Slabs | LessonPanels.Events,
        Colours = "owner",
        Cache = "inode",
        Breaks =
        [
            new("Free everything, then give empty slabs back.", "shrink inode"),
            new("How much does kmalloc() waste on 4097 bytes?", "kmalloc 4097"),
        ],
    };

    public static Lesson Colouring { get; } = new(
        "colouring",
        "Slab colouring",
        "Watch the grey space before the first object: it differs from slab to slab, so that first objects do not all fall into the same cache lines.",
        s_small with { CommandLine = "slab_allocator=slab" },
        [
            new("cache dentry 280 align=64", s => $"This machine runs the classic SLAB. {Cache(s, "dentry").ObjectsPerSlab} objects of {Cache(s, "dentry").Size} bytes leave {Left(s)} bytes of a slab over: room for {Colours(s)} colours, a cache line apart.", s => Left(s) >= 64),
            new("object dentry count=12 as first", s => $"The first slab starts its objects at offset {Offsets(s)[0]}.", s => SlabsOf(s, "dentry").Count == 1),
            new("object dentry count=36 as more", s => $"The next ones start at other offsets: {string.Join(", ", Offsets(s))}. Objects of the same number now lie in different cache lines.", s => Offsets(s).Distinct().Count() > 1),
            new("object dentry count=60 as many", s => $"After the last colour it starts again: {string.Join(", ", Offsets(s))}.", s => Offsets(s).Count > Offsets(s).Distinct().Count()),
        ])
    {
        Panels = LessonPanels.Slabs,
        Colours = "owner",
        Cache = "dentry",
        Breaks =
        [
            new("A size that leaves nothing over has one colour.", "cache full 256"),
        ],
    };

    private static KmemCache Cache(Session session, string name) => session.Machine.Slab.Find(name)!;

    private static IReadOnlyList<SlabDescriptor> SlabsOf(Session session, string name) => session.Machine.Slab.DescribeSlabs(Cache(session, name));

    private static long Live(Session session) => session.Held.Values.OfType<HeldObjects>().Where(h => h.Cache?.Name == "inode").Sum(h => h.Objects.Count);

    private static int Left(Session session)
    {
        KmemCache cache = Cache(session, "dentry");
        return (PageGeometry.PageSize << cache.Order) - (cache.Size * cache.ObjectsPerSlab);
    }

    private static int Colours(Session session) => (Left(session) / 64) + 1;

    private static IReadOnlyList<int> Offsets(Session session) => [.. SlabsOf(session, "dentry").OrderBy(d => d.Page.Pfn.Value).Select(d => d.ColourOffset)];
}
