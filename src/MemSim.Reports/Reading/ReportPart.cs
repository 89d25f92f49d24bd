namespace MemSim.Reports.Reading;

/// <summary>A part that a report has once: which one a line is, and where in a report such parts stand.</summary>
internal static class ReportPart
{
    /// <summary>Where the head stands.</summary>
    public const int Head = 0;

    /// <summary>Where the CPU and its call trace stand.</summary>
    public const int Cpu = 1;

    /// <summary>Where <c>Mem-Info:</c> stands, with which what is known of memory begins.</summary>
    public const int Body = 2;

    /// <summary>Where the lists of free blocks stand.</summary>
    public const int Lists = 6;

    /// <summary>Where the tasks and the victim stand.</summary>
    public const int Tasks = 8;

    /// <summary>The part a line is, as a name that no other part has, and its place; null for lines that a report may have any number of.</summary>
    public static (string Name, int Place)? Of(in LogicalLine line)
    {
        string text = line.Text;
        switch (line.Kind)
        {
            case LineKind.CpuLine:
                return HeadText.TaskOf(text) is null ? null : ("cpu", Cpu);
            case LineKind.CpusetLine:
                return ("cpuset", Cpu);
            case LineKind.MemInfoHead:
                return ("mem-info", Body);
            case LineKind.Totals:
                Figures figures = new(text);
                return figures.Next() ? ($"totals {figures.Name}", Body + 1) : null;
            case LineKind.NodeLine:
                int at = text.IndexOf("Node ", StringComparison.Ordinal);
                return ($"node {HeadText.Number(text.AsSpan(at + 5)) ?? 0}", Body + 2);
            case LineKind.ZoneLine:
                return ZoneText.TryZone(text, out int node, out string name) ? ($"zone {node} {name}", Body + 3) : null;
            case LineKind.FreeList:
                return ZoneText.TryFreeList(text, out int listNode, out string listName, out _, out _) ? ($"list {listNode} {listName}", Lists) : null;
            case LineKind.Closing:
                return ClosingText.Name(text) is { } end ? ($"end {end}", Lists + 1) : null;
            default:
                return null;
        }
    }

    /// <summary>The task that a line of the head's names; null for none.</summary>
    public static string? TaskOf(in LogicalLine line)
    {
        int cpuset = line.Kind == LineKind.CpusetLine ? line.Text.IndexOf(" cpuset=", StringComparison.Ordinal) : -1;
        return cpuset > 0 ? line.Text[..cpuset].Trim() : HeadText.TaskOf(line.Text);
    }

    /// <summary>Whether a line is one that only the OOM killer writes, behind everything else.</summary>
    public static bool IsOfVictims(LineKind kind) => kind is LineKind.TaskHead or LineKind.TaskRow or LineKind.OomKill or LineKind.Killed or LineKind.Reaper;
}
