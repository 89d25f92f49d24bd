using System.Diagnostics;

namespace MemSim.Oom;

/// <summary>How much it helps to kill a process (<c>oom_badness()</c>): what it would give back, and what the administrator adds or takes away.</summary>
internal static class OomBadness
{
    /// <summary>Never killed (<c>OOM_SCORE_ADJ_MIN</c>).</summary>
    public const int ScoreAdjMin = -1000;

    /// <summary>What a process gets that must not be killed.</summary>
    public const long Unkillable = long.MinValue;

    /// <summary>The badness in pages; it may be negative.</summary>
    /// <param name="task">The process.</param>
    /// <param name="allowedPages">The memory and swap that the request could have been served from.</param>
    public static long Of(in OomTask task, long allowedPages)
    {
        Debug.Assert(task.ScoreAdj is >= ScoreAdjMin and <= -ScoreAdjMin && task.ResidentPages >= 0 && task.SwapEntries >= 0 && allowedPages >= 0, "no process has less than nothing");
        return task.ScoreAdj == ScoreAdjMin ? Unkillable : task.ResidentPages + task.SwapEntries + (task.PageTableBytes >> PageGeometry.PageShift) + (task.ScoreAdj * (allowedPages / 1000));
    }

    /// <summary>The badness as <c>/proc/pid/oom_score</c> shows it: 0 for who cannot be killed, 2000 at most.</summary>
    /// <param name="badness">The badness in pages.</param>
    /// <param name="allPages">Memory and swap of the machine.</param>
    public static long Score(long badness, long allPages) => badness == Unkillable ? 0 : (1000 + (badness * 1000 / Math.Max(1, allPages))) * 2 / 3;
}
