using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Lessons;

/// <summary>Processes.</summary>
internal static class ProcessLessons
{
    public static Lesson Fork { get; } = new(
        "fork",
        "fork and copy on write",
        "Watch the pages of both processes: after fork() they are the same ones, and a copy is made of a page only when somebody writes to it.",
        new MachineChoice(Memory: "256M", Cpus: 1),
        [
            new("process shell", s => "A process, with an empty address space.", s => s.Process("shell").Mm!.AnonPages == 0),
            new("mmap shell 128K as heap", s => "It mapped 128 KiB: an area, and not one page. Memory is promised, not given.", s => s.Process("shell").Mm!.AnonPages == 0),
            new("write heap", s => $"It wrote to each of the 32 pages: each time the CPU faulted, and the kernel gave a zeroed page. {s.LastText()}.", s => s.Process("shell").Mm!.AnonPages == 32),
            new("fork shell as child", s => $"The child has 32 pages too, but no memory was taken for them: both page tables point at the same frames, read-only now. {s.Counters().AnonPages} anonymous pages in the machine.", s => s.Process("child").Mm!.AnonPages == 32 && s.Counters().AnonPages == 32),
            new("read heap by=child", s => "The child reads: nothing happens.", s => s.Counters().AnonPages == 32),
            new("write heap by=child pages=5", s => $"The child writes to five pages: five faults, five copies. {s.Counters().AnonPages} anonymous pages now; 27 are still shared.", s => s.Counters().AnonPages == 37),
            new("write heap pages=5", s => $"The parent writes to the same five. Nobody shares them any more, so no copy is needed: {s.LastText()}.", s => s.Counters().AnonPages == 37),
            new("exit child", s => "The child ends: its five copies are free, the shared ones stay with the parent.", s => s.Counters().AnonPages == 32),
        ])
    {
        Panels = LessonPanels.Processes,
        Colours = "owner",
        Breaks =
        [
            new("A hundred children of one parent: what do they cost?", "fork shell"),
            new("Map more than the machine has: a promise costs nothing.", "mmap shell 100M"),
        ],
    };
}
