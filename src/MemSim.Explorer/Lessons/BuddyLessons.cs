using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Lessons;

/// <summary>The buddy system, the lists of the CPUs, and types of page blocks.</summary>
internal static class BuddyLessons
{
    private const string DmaMask = "GFP_KERNEL|__GFP_DMA";
    private static readonly MachineChoice s_small = new(Memory: "256M", Cpus: 1);

    public static Lesson SplitAndMerge { get; } = new(
        "buddy",
        "Allocate and split, free and merge",
        "Watch block A, eight pages in one piece: it is halved until a piece has the size asked for, and it heals when the pieces are free again.",
        s_small,
        [
            new(string.Empty, s => $"Free memory is kept in blocks of 1, 2, 4, 8, … pages: order 3 is 2³ = 8 pages. Zone DMA has one free block of order 3, marked A, from page frame number (pfn) {A(s)} on, and nothing smaller. Its buddy, the wall, is in use.", s => s.Blocks("DMA", 3) == 1 && s.Blocks("DMA", 0) + s.Blocks("DMA", 1) + s.Blocks("DMA", 2) == 0)
            {
                Marks = s => [new Mark(A(s).Value, 8, "A"), s.MarkOf("wall", "wall")],
            },
            new("alloc 0 " + DmaMask + " as page", s => "One page was asked for. The smallest free block is A, so A was halved, and its first half again, and again. The halves not needed are free now: 4 pages (order 2), 2 pages (order 1), 1 page (order 0). The first page is yours.", s => s.Blocks("DMA", 3) == 0 && s.Blocks("DMA", 2) == 1 && s.Blocks("DMA", 1) == 1 && s.Blocks("DMA", 0) == 1)
            {
                Marks = s => [s.MarkOf("page", "page")],
            },
            new("alloc 0 " + DmaMask + " as second", s => "A second page: a free block of exactly that size is there, so nothing is split.", s => s.Blocks("DMA", 0) == 0 && s.Blocks("DMA", 1) == 1)
            {
                Marks = s => [s.MarkOf("page", "page"), s.MarkOf("second", "second")],
            },
            new("free page; drain", s => "The first page is free again (a CPU would keep it for later: 'drain' makes it give it back), but its buddy, the second page, is in use: no merge. A block's buddy is the one other block of its size it was split from.", s => s.Blocks("DMA", 0) == 1 && s.Blocks("DMA", 1) == 1)
            {
                Marks = s => [s.MarkOf("second", "second")],
            },
            new("free second; drain", s => "Now both are free: 1 + 1 pages merge, their buddy of order 1 is free: merge, and the one of order 2: merge. A is whole again. It stops there, because A's buddy is the wall, and the wall is in use.", s => s.Blocks("DMA", 3) == 1 && s.Blocks("DMA", 0) + s.Blocks("DMA", 1) + s.Blocks("DMA", 2) == 0)
            {
                Marks = s => [new Mark(A(s).Value, 8, "A"), s.MarkOf("wall", "wall")],
            },
            new("free wall; drain", s => "Without the wall A merges with it, and on upwards, as long as the buddy is free.", s => s.Blocks("DMA", 3) == 0),
        ])
    {
        Setup = ["take DMA below=4", "alloc 3 " + DmaMask + " as wall"],
        Zone = "DMA",
        Frames = s => s.Held.ContainsKey("wall") ? (s.Block("wall").Pfn.Value & ~63, (s.Block("wall").Pfn.Value & ~63) + 64) : (256, 320),
        Panels = LessonPanels.FreeLists | LessonPanels.Events,
        Breaks =
        [
            new("Free the same block twice: the kernel notices, and says what it saw.", "free taken"),
            new("Ask for more than the largest block there is.", "alloc 10 " + DmaMask + " count=8"),
            new("Let a random workload at it for 2000 steps, then look at the free lists.", "churn 2000 order=3 gfp=" + DmaMask),
        ],
        Quiz =
        [
            new("Two free blocks of 4 pages lie side by side, at pfn 0x104 and pfn 0x108. Do they merge?",
            [
                new("Yes: they are neighbours and of one size.", false, "Neighbours are not enough. The buddy of 0x104 is 0x104 xor 4 = 0x100."),
                new("No: they are not buddies.", true, "The buddy differs in exactly the bit of the size: 0x104 and 0x100, 0x108 and 0x10c. Only so can one bit of the address say where a block belongs."),
            ]),
        ],
    };

    public static Lesson PerCpuLists { get; } = new(
        "percpu",
        "The lists of a CPU",
        "Watch the list of CPU 0: one page asked for brings a whole batch, so that the next ones cost no lock.",
        s_small with { Cpus = 2 },
        [
            new("drain", s => "The lists of both CPUs are empty: all free pages are in the buddy lists.", s => Count(s, 0) == 0),
            new("alloc 0 as one", s => $"One page was asked for, but {Count(s, 0) + 1} left the buddy lists: CPU 0 keeps {Count(s, 0)} for later (its batch is {Normal(s).Pageset(0).Batch}). They are free, and still no use to anybody else.", s => Count(s, 0) > 0) { Marks = s => [s.MarkOf("one", "one")] },
            new("alloc 0 count=8 as more", s => $"Eight more: no lock, no split, only the front of the list. {Count(s, 0)} are left.", s => Count(s, 0) > 0),
            new("alloc 0 cpu=1 as other", s => $"CPU 1 has a list of its own and takes its own batch: {Count(s, 1)} pages.", s => Count(s, 1) > 0),
            new("free more", s => $"Freed pages go to the front of the list of the CPU that frees: the next request gets the page that was freed last, which is still in its cache. Now {Count(s, 0)}.", s => Count(s, 0) > 8),
            new("alloc 0 count=900 as many", s => $"With 900 pages taken the list was refilled many times.", s => s.Held.ContainsKey("many")),
            new("free many", s => $"Freed at once they do not all stay: beyond the list's limit of {Normal(s).Pageset(0).High} pages, batches go back and merge. {Count(s, 0)} remain.", s => Count(s, 0) <= Normal(s).Pageset(0).High && Count(s, 0) > 0),
        ])
    {
        Panels = LessonPanels.PerCpu | LessonPanels.FreeLists | LessonPanels.Events,
        Breaks =
        [
            new("Take the second CPU away: its pages go back.", "cpu 1 offline"),
            new("Empty the lists by hand.", "drain"),
        ],
    };

    public static Lesson Stealing { get; } = new(
        "stealing",
        "Fallback and stealing",
        "Watch the colours of page blocks: memory that cannot move is kept together, until it runs out and takes a block from those that can.",
        s_small,
        [
            new(string.Empty, s => $"Each page block of 2 MiB has a type. After boot almost all are movable ({s.Pageblocks(MigrateType.Movable)}), {s.Pageblocks(MigrateType.Unmovable)} are unmovable: page tables, slabs and buffers are to live there.", s => s.Pageblocks(MigrateType.Movable) > s.Pageblocks(MigrateType.Unmovable)),
            new("alloc 0 GFP_KERNEL count=6000 as kernel", s => $"6000 pages for the kernel: when the unmovable blocks were full, the largest movable block was taken, whole, {s.Events.Fallbacks} times. There are {s.Pageblocks(MigrateType.Unmovable)} unmovable page blocks now.", s => s.Events.Fallbacks > 0),
            new("free kernel", s => $"Freed, but the page blocks keep their type: {s.Pageblocks(MigrateType.Unmovable)} stay unmovable. The next kernel pages fit there without stealing.", s => s.Pageblocks(MigrateType.Unmovable) > 0),
            new("movable 30000 as user", s => $"30,000 pages of processes and files go to movable blocks, and to others when those are full. Fallbacks so far: {s.Events.Fallbacks}.", s => ((HeldMovable)s.Held["user"]).Numbers.Count == 30000),
            new("movablefree user every=2", s => "Every second one is freed: a lot of memory, in single pages.", s => ((HeldMovable)s.Held["user"]).Numbers.Count == 15000),
            new("alloc 0 GFP_KERNEL count=12000 as more", s => $"Kernel pages now find only crumbs. They are mixed into movable blocks, which can never become whole again by moving: this is how fragmentation starts. Fallbacks: {s.Events.Fallbacks}.", s => s.Events.Fallbacks > 3),
        ])
    {
        Colours = "type",
        Panels = LessonPanels.FreeLists | LessonPanels.Events,
        Breaks =
        [
            new("Ask for a huge page's worth now.", "alloc 9 GFP_KERNEL"),
            new("Move pages together and look again.", "compact"),
        ],
    };

    private static Pfn A(Session session) => new(session.Held.ContainsKey("wall") ? session.Block("wall").Pfn.Value ^ 8 : session.FirstFree("DMA", 3)!.Value.Value);

    private static Zone Normal(Session session) => session.Zone("DMA32");

    private static int Count(Session session, int cpu) => Normal(session).Pageset(cpu).Count;
}
