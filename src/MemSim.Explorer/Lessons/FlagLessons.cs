using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Lessons;

/// <summary>Watermarks, and what GFP flags are good for.</summary>
internal static class FlagLessons
{
    private static readonly MachineChoice s_small = new(Memory: "256M", Cpus: 1);

    public static Lesson Watermarks { get; } = new(
        "watermarks",
        "Watermarks and who may go below them",
        "Watch free pages fall to the line 'min' and stop, and who still gets pages from there.",
        s_small,
        [
            new(string.Empty, s => $"Zone DMA32 has {Zone(s).TrueFreePages} free pages. Its lines: high {Zone(s).GetWatermarkPages(Watermark.High)}, low {Zone(s).GetWatermarkPages(Watermark.Low)}, min {Zone(s).GetWatermarkPages(Watermark.Min)}. Nobody reclaims on this machine, so that you see the bare rule.", s => Zone(s).TrueFreePages > Zone(s).GetWatermarkPages(Watermark.High)),
            new("alloc 0 GFP_KERNEL count=100000 as ordinary", s => $"GFP_KERNEL took pages until {Zone(s).TrueFreePages} were left: the line min. What lies below is for those who cannot wait.", s => Zone(s).TrueFreePages <= Zone(s).GetWatermarkPages(Watermark.Min) + 64),
            new("explain 0 GFP_KERNEL", s => "Why it fails, zone by zone: free pages, what this request must leave, what is missing.", s => !s.Machine.Explain(Gfp.Kernel).WouldSucceed),
            new("alloc 0 GFP_ATOMIC count=100000 as interrupt", s => $"GFP_ATOMIC may not sleep, so it may go deeper: {((HeldPages)s.Held["interrupt"]).Blocks.Count} pages more. {Zone(s).TrueFreePages} are left.", s => ((HeldPages)s.Held["interrupt"]).Blocks.Count > 10),
            new("alloc 0 GFP_KERNEL|__GFP_MEMALLOC count=100000 as reclaimer", s => $"__GFP_MEMALLOC is for who frees memory by using some: no line at all, {((HeldPages)s.Held["reclaimer"]).Blocks.Count} pages, and {Zone(s).TrueFreePages} left.", s => Zone(s).TrueFreePages < 64),
            new("free ordinary", s => $"Back to {Zone(s).TrueFreePages} free pages.", s => Zone(s).TrueFreePages > Zone(s).GetWatermarkPages(Watermark.High)),
        ])
    {
        Panels = LessonPanels.Watermarks | LessonPanels.FreeLists,
        Breaks =
        [
            new("Raise the lines: min_free_kbytes four times as high.", "sysctl min_free_kbytes 16384"),
            new("Wake the reclaimers, then take everything again.", "reclaim"),
        ],
    };

    public static Lesson WhichFlag { get; } = new(
        "flags",
        "Which flag when",
        "Watch where each page comes from and what the kernel says: the quiz below runs your answer on this machine.",
        s_small,
        [
            new("alloc 0 GFP_KERNEL as kernel", s => $"GFP_KERNEL: may sleep, start I/O, call file systems. The page lies in zone {ZoneOf(s, "kernel")}.", s => ZoneOf(s, "kernel") == "DMA32"),
            new("alloc 0 GFP_KERNEL|__GFP_DMA as dma", s => $"__GFP_DMA: below 16 MiB, for devices that can address no more. Zone {ZoneOf(s, "dma")}.", s => ZoneOf(s, "dma") == "DMA"),
            new("alloc 0 GFP_HIGHUSER_MOVABLE as user", s => $"GFP_HIGHUSER_MOVABLE: a process's page. It lies in a page block of type {TypeOf(s, "user")}, from where it can be moved.", s => TypeOf(s, "user") == MigrateType.Movable),
            new("irq alloc 0 GFP_ATOMIC as atomic", s => "GFP_ATOMIC in an interrupt: never sleeps, may use a part of the reserve.", s => s.Held.ContainsKey("atomic")),
        ])
    {
        Panels = LessonPanels.FreeLists | LessonPanels.Watermarks,
        Colours = "type",
        Breaks =
        [
            new("GFP_KERNEL in an interrupt.", "irq alloc 0 GFP_KERNEL"),
            new("Two zones at once: what is __GFP_DMA|__GFP_HIGHMEM to mean?", "alloc 0 __GFP_DMA|__GFP_HIGHMEM"),
        ],
        Quiz =
        [
            new("Your network driver needs a page in its interrupt handler.",
            [
                new("GFP_KERNEL", false, "It may sleep, and an interrupt handler must not: the kernel says so.")
                {
                    Command = "irq alloc 0 GFP_KERNEL",
                    Shows = (_, o) => o!.Kind == OutcomeKind.KernelBug,
                },
                new("GFP_ATOMIC", true, "It never sleeps and may go below min.") { Command = "irq alloc 0 GFP_ATOMIC", Shows = (_, o) => o!.Kind == OutcomeKind.Done },
                new("GFP_NOIO", false, "It starts no I/O, but it may still sleep.") { Command = "irq alloc 0 GFP_NOIO", Shows = (_, o) => o!.Kind == OutcomeKind.KernelBug },
            ]),
            new("An old sound card can address 24 bits.",
            [
                new("GFP_KERNEL|__GFP_DMA", true, "Zone DMA lies below 16 MiB, which 24 bits reach.") { Command = "alloc 0 GFP_KERNEL|__GFP_DMA", Shows = (_, o) => o!.Text.EndsWith("zone DMA", StringComparison.Ordinal) },
                new("GFP_KERNEL", false, "The page comes from the highest zone that will do: above 16 MiB.") { Command = "alloc 0 GFP_KERNEL", Shows = (_, o) => o!.Text.EndsWith("zone DMA32", StringComparison.Ordinal) },
                new("GFP_KERNEL|__GFP_DMA32", false, "DMA32 is for 32 bits.") { Command = "alloc 0 GFP_KERNEL|__GFP_DMA32", Shows = (_, o) => o!.Text.EndsWith("zone DMA32", StringComparison.Ordinal) },
            ]),
            new("Your file system needs a buffer while it holds locks that reclaim could want.",
            [
                new("GFP_NOFS", true, "Reclaim may run, but it does not call file systems: no deadlock.") { Command = "alloc 0 GFP_NOFS", Shows = (_, o) => o!.Kind == OutcomeKind.Done },
                new("GFP_KERNEL", false, "It works until memory is short; then reclaim calls your own file system, which waits for the lock you hold."),
                new("GFP_ATOMIC", false, "It does not deadlock, but it eats the reserve and fails when it could have waited."),
            ]),
            new("A process touches a page of its heap for the first time.",
            [
                new("GFP_HIGHUSER_MOVABLE", true, "High memory will do, and the page may move later: it goes to a movable block.") { Command = "alloc 0 GFP_HIGHUSER_MOVABLE", Shows = (_, o) => o!.Kind == OutcomeKind.Done },
                new("GFP_KERNEL", false, "It would be pinned in an unmovable block for as long as the process lives."),
            ]),
        ],
    };

    private static Zone Zone(Session session) => session.Zone("DMA32");

    private static string ZoneOf(Session session, string name) => session.Machine.GetPage(session.Block(name).Pfn).Zone.Name;

    private static MigrateType TypeOf(Session session, string name) => session.Machine.GetPage(session.Block(name).Pfn).MigrateType;
}
