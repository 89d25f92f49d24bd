namespace MemSim.Explorer.Lessons;

/// <summary>The lessons, in the order in which they build on each other.</summary>
public static class LessonBook
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<Lesson> All { get; } =
    [
        BuddyLessons.SplitAndMerge,
        BuddyLessons.PerCpuLists,
        BuddyLessons.Stealing,
        FlagLessons.Watermarks,
        FlagLessons.WhichFlag,
        SlabLessons.Slabs,
        SlabLessons.Colouring,
        AddressLessons.Vmalloc,
        AddressLessons.Walk,
        AddressLessons.Kmap,
        ProcessLessons.Fork,
        PressureLessons.Kswapd,
        PressureLessons.Swap,
        PressureLessons.Oom,
        MovingLessons.Compaction,
        MovingLessons.Cma,
    ];

    /// <summary>The lesson with that name; the first one for a name that no lesson has.</summary>
    public static Lesson Find(string? id) => All.FirstOrDefault(l => l.Id == id) ?? All[0];
}
