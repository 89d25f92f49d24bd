using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Lessons;

/// <summary>A lesson: a machine, commands one by one, what to see after each, and ways to break it.</summary>
/// <param name="Id">Its name in links.</param>
/// <param name="Title">Its title.</param>
/// <param name="Watch">What to watch, in one sentence.</param>
/// <param name="Machine">The machine it runs on.</param>
/// <param name="Steps">What happens, in order.</param>
public sealed record Lesson(string Id, string Title, string Watch, MachineChoice Machine, IReadOnlyList<LessonStep> Steps)
{
    /// <summary>Commands that set the scene, before anything is shown.</summary>
    public IReadOnlyList<string> Setup { get; init; } = [];

    /// <summary>What is shown beside the picture of memory.</summary>
    public LessonPanels Panels { get; init; } = LessonPanels.FreeLists;

    /// <summary>The zone that the picture shows; null for the whole machine.</summary>
    public string? Zone { get; init; }

    /// <summary>The frames that the picture shows, instead of a zone: whole blocks of 1024, or 256 or 64 of them.</summary>
    public Func<Session, (long Start, long End)>? Frames { get; init; }

    /// <summary>What the picture's colours say.</summary>
    public string Colours { get; init; } = "order";

    /// <summary>The cache whose slabs are shown.</summary>
    public string? Cache { get; init; }

    /// <summary>Things worth trying that go wrong, or go another way.</summary>
    public IReadOnlyList<Breakage> Breaks { get; init; } = [];

    /// <summary>Questions that the machine answers.</summary>
    public IReadOnlyList<Question> Quiz { get; init; } = [];
}

/// <summary>What a lesson shows beside the picture of memory.</summary>
[Flags]
public enum LessonPanels
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Free lists by zone and order.</summary>
    FreeLists = 1,

    /// <summary>The lists of the CPUs.</summary>
    PerCpu = 2,

    /// <summary>Free pages against watermarks, over time.</summary>
    Watermarks = 4,

    /// <summary>Slab caches and the objects of a slab.</summary>
    Slabs = 8,

    /// <summary>Address spaces.</summary>
    Processes = 16,

    /// <summary>What the TLB holds and counted.</summary>
    Tlb = 32,

    /// <summary>The latest tracepoints.</summary>
    Events = 64,
}

/// <summary>A step of a lesson.</summary>
/// <param name="Command">What is done; empty for a look at what is there.</param>
/// <param name="Say">What to see now; figures come from the machine.</param>
/// <param name="Holds">Whether what is said is so: tests ask.</param>
public sealed record LessonStep(string Command, Func<Session, string> Say, Func<Session, bool> Holds)
{
    /// <summary>Frames to point at.</summary>
    public Func<Session, IReadOnlyList<Mark>> Marks { get; init; } = static _ => [];
}

/// <summary>Frames that a lesson points at.</summary>
/// <param name="Pfn">The first.</param>
/// <param name="Pages">How many.</param>
/// <param name="Label">What to write there.</param>
public sealed record Mark(long Pfn, long Pages, string Label);

/// <summary>Something to try.</summary>
/// <param name="Say">Why one would.</param>
/// <param name="Command">The command; it runs on the machine as the lesson left it.</param>
public sealed record Breakage(string Say, string Command);

/// <summary>A question with answers that can be tried on the machine.</summary>
/// <param name="Text">The question.</param>
/// <param name="Answers">The answers.</param>
public sealed record Question(string Text, IReadOnlyList<Answer> Answers);

/// <summary>An answer.</summary>
/// <param name="Text">What it says.</param>
/// <param name="IsRight">Whether it is right.</param>
/// <param name="Why">Why, or why not.</param>
public sealed record Answer(string Text, bool IsRight, string Why)
{
    /// <summary>What shows it on the machine; empty where there is nothing to run.</summary>
    public string Command { get; init; } = string.Empty;

    /// <summary>Whether the machine did what <see cref="Why"/> says, after <see cref="Command"/>: tests ask.</summary>
    public Func<Session, Outcome?, bool> Shows { get; init; } = static (_, _) => true;
}
