using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Lessons;

/// <summary>Pages that move.</summary>
internal static class MovingLessons
{
    public static Lesson Compaction { get; } = new(
        "compaction",
        "Compaction: two scanners meet",
        "Watch the two markers: one goes up from the start and picks pages to move, one comes down from the end and finds places for them; where they meet, it is done.",
        new MachineChoice(Memory: "256M", Cpus: 1),
        [
            new("movable 40000 as user", s => "40,000 pages that may be moved fill the lower part of memory.", s => ((HeldMovable)s.Held["user"]).Numbers.Count == 40000),
            new("movablefree user every=2", s => "Every second one goes: 80 MiB are free, in single pages.", s => s.Blocks("DMA32", 0) > 10000),
            new("drain", s => $"The largest piece of the memory they left is a page. Blocks of order 9 that are free: {s.Blocks("DMA32", 9)}, of order 10: {s.Blocks("DMA32", 10)}.", s => s.Blocks("DMA32", 0) > 10000),
            new("compact", s => $"{s.Events.Migrated} pages were moved from below to above, their owner was told. The scanners met at pfn 0x{s.Events.Scanners.Migrate:x}. Free blocks of order 9: {s.Blocks("DMA32", 9)}, of order 10: {s.Blocks("DMA32", 10)}; single pages: {s.Blocks("DMA32", 0)}.", s => s.Events.Migrated > 1000 && s.Blocks("DMA32", 0) < 5000)
            {
                Marks = s => [new Mark(s.Events.Scanners.Migrate, 1, "scanners met here")],
            },
            new("alloc 9 count=10 as huge", s => $"Ten blocks of 2 MiB: {s.LastText()}.", s => ((HeldPages)s.Held["huge"]).Blocks.Count == 10),
        ])
    {
        Panels = LessonPanels.FreeLists | LessonPanels.Events,
        Colours = "owner",
        Breaks =
        [
            new("Pages of the kernel do not move: put some in between and compact again.", "alloc 0 GFP_KERNEL count=3000"),
            new("Ask for everything in large blocks.", "alloc 9 count=200"),
        ],
    };

    public static Lesson Cma { get; } = new(
        "cma",
        "CMA: memory on loan",
        "Watch the area at the end of the zone: movable pages may live there, and they have to go when a device needs it.",
        new MachineChoice(Memory: "256M", Cpus: 1, Cma: "16M"),
        [
            new(string.Empty, s => $"An area of {s.Machine.Cma.Areas[0].Pages} pages from pfn {s.Machine.Cma.Areas[0].Start} on was set aside at boot for a device.", s => s.Machine.Cma.Areas[0].Pages == 4096) { Marks = Area },
            new("movable 42000 as user", s => $"It is not idle: movable pages are lent the area. Free pages in it: {Free(s)} of 4096.", s => Free(s) < 4096) { Marks = Area },
            new("cma 1024 as frame", s => $"The device wants 1024 pages in one piece. Whoever lives there moves out: {s.Events.Migrated} pages were moved so far.", s => s.Held.ContainsKey("frame") && s.Events.Migrated > 0)
            {
                Marks = s => [new Mark(((HeldContiguous)s.Held["frame"]).First.Pfn.Value, 1024, "frame")],
            },
            new("cmafree frame", s => "Given back, it is on loan again.", s => !s.Held.ContainsKey("frame")) { Marks = Area },
        ])
    {
        Panels = LessonPanels.FreeLists | LessonPanels.Events,
        Colours = "type",
        Breaks =
        [
            new("More than the area has.", "cma 5000"),
            new("Pages that cannot move are never lent it: fill memory with them.", "alloc 0 GFP_KERNEL count=30000"),
        ],
    };

    private static IReadOnlyList<Mark> Area(Session session) => [new Mark(session.Machine.Cma.Areas[0].Start.Value, session.Machine.Cma.Areas[0].Pages, "contiguous area")];

    private static long Free(Session session) => session.Machine.Cma.Areas[0].Zone.FreeCmaPages;
}
