using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Lessons;

/// <summary>What happens when memory runs short.</summary>
internal static class PressureLessons
{
    // A driver holds most of the machine, so that what is left fills while one watches.
    private const string Driver = "alloc 9 GFP_KERNEL count=26 as driver";
    private static readonly MachineChoice s_small = new(Memory: "128M", Cpus: 1);

    public static Lesson Kswapd { get; } = new(
        "kswapd",
        "kswapd and direct reclaim",
        "Watch free pages fall to 'low' and be lifted to 'high' again: kswapd takes pages back that nobody used lately.",
        s_small,
        [
            new(string.Empty, s => $"A file of 36 MiB lies on the disk, more than this machine has free ({Facts.Size(s.FreePages())}). Nothing of it is in memory.", s => s.Counters().FilePages < 1000),
            new("readfile log", s => $"Reading it fills memory with its pages. At the line 'low' kswapd woke up, {s.Events.KswapdWakes} times, and took the oldest pages back until 'high'. {s.Counters().FilePages} pages of files are in memory.", s => s.Events.KswapdWakes > 0 && s.Counters().FilePages > 2000),
            new("process app", s => "Now a process that wants memory for itself.", s => s.Held.ContainsKey("app")),
            new("mmap app 10M as heap", s => "It maps 10 MiB.", s => s.Held.ContainsKey("heap")),
            new("write heap", s => $"As it writes, clean pages of the file make room: {s.Counters().FilePages} are left. kswapd woke {s.Events.KswapdWakes} times; {s.Events.DirectReclaims} times the process had to reclaim itself.", s => s.Counters().AnonPages >= 2560),
            new("readfile log", s => "Reading the file again now competes with the process: pages used twice go to the active list and stay longer.", s => s.Counters().FilePages > 0),
        ])
    {
        Setup = ["reclaim", Driver, "file log 36M"],
        Panels = LessonPanels.Watermarks | LessonPanels.Events,
        Colours = "lru",
        Breaks =
        [
            new("Give kswapd more room between the lines.", "sysctl watermark_scale_factor 500"),
            new("Drop all clean pages of files at once.", "sysctl drop_caches 1"),
        ],
    };

    public static Lesson Swap { get; } = new(
        "swap",
        "Swap",
        "Watch a process with more memory than the machine: its pages go to disk, and come back one by one when they are needed.",
        s_small,
        [
            new("swapon 64M", s => $"A swap area of {s.Machine.Swap.TotalPages} slots.", s => s.Machine.Swap.FreePages == s.Machine.Swap.TotalPages),
            new("reclaim", s => "Reclaim is at work.", s => true),
            new("process big", s => "A process.", s => s.Held.ContainsKey("big")),
            new("mmap big 48M as heap", s => $"It maps 48 MiB; {Facts.Size(s.FreePages())} are free.", s => s.Held.ContainsKey("heap")),
            new("write heap", s => $"It writes to all of it. {s.Process("big").Mm!.AnonPages} pages are in memory, {s.Process("big").Mm!.SwapEntries} on the disk.", s => s.Process("big").Mm!.SwapEntries > 2000),
            new("read heap pages=400", s => $"The oldest pages are needed again: {s.LastText()}. A major fault waits for the disk; pages beside it are read along.", s => s.Process("big").MajorFaults > 10),
            new("exit big", s => "It ends: pages and slots are free.", s => s.Machine.Swap.FreePages > s.Machine.Swap.TotalPages - 64),
        ])
    {
        Setup = [Driver],
        Panels = LessonPanels.Processes | LessonPanels.Watermarks | LessonPanels.Events,
        Colours = "lru",
        Breaks =
        [
            new("Never swap while there are pages of files.", "sysctl swappiness 0"),
            new("A second process beside it.", "process other"),
        ],
    };

    public static Lesson Oom { get; } = new(
        "oom",
        "Out of memory",
        "Watch who is killed: not who asked last, but who has most, unless its score says otherwise.",
        s_small,
        [
            new("reclaim", s => "Reclaim is at work, there is no swap.", s => true),
            new("process database oom=-900", s => "An important process: oom_score_adj is -900.", s => s.Held.ContainsKey("database")),
            new("mmap database 5M as data", s => "It maps 5 MiB.", s => s.Held.ContainsKey("data")),
            new("write data", s => "And uses all of it.", s => s.Process("database").Mm!.AnonPages >= 1280),
            new("process hog", s => "A process that wants more than there is.", s => s.Held.ContainsKey("hog")),
            new("mmap hog 36M as all", s => "36 MiB are promised: overcommit.", s => s.Held.ContainsKey("all")),
            new("write all", s => $"It writes until nothing can be reclaimed any more. The OOM killer took the process with the highest score: {(s.Process("hog").State == ProcessState.Running ? "the database" : "the hog itself")}. {Report(s)}", s => s.Events.OomKills == 1 && s.Process("hog").State != ProcessState.Running && s.Process("database").State == ProcessState.Running),
        ])
    {
        Setup = [Driver],
        Panels = LessonPanels.Processes | LessonPanels.Watermarks | LessonPanels.Events,
        Colours = "owner",
        Breaks =
        [
            new("A third process, with the highest score there is.", "process victim oom=1000"),
            new("Swap would have helped.", "swapon 256M"),
        ],
    };

    private static string Report(Session session) =>
        session.Machine.Oom.LastReport?.Split('\n').FirstOrDefault(l => l.Contains("Killed process", StringComparison.Ordinal) || l.Contains("Out of memory", StringComparison.Ordinal))?.Trim() ?? string.Empty;
}
