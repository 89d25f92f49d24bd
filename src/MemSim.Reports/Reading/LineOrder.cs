namespace MemSim.Reports.Reading;

/// <summary>Notices a log that was printed newest line first (<c>journalctl -r</c>): times of one second do not tell, but the order of what a report always prints does.</summary>
internal sealed class LineOrder
{
    /// <summary>What is said of a report in such a log.</summary>
    public const string Reversed = "the lines stand in reverse order, newest first (journalctl -r): no report can be put together so; turn the log round (tac, or journalctl without -r)";

    private LineKind _before;
    private long _behind;
    private long _ahead;
    private bool _listsFirst;
    private bool _zones;

    /// <summary>Whether what was read so far stands in reverse order: lists before all zones, and reserves, which follow the line of their zone, before it.</summary>
    public bool IsReversed => _listsFirst && _ahead > _behind;

    /// <summary>Looks at the next line of the log.</summary>
    public void Add(LineKind kind)
    {
        switch (kind)
        {
            case LineKind.ZoneLine:
                _ahead += _before == LineKind.Reserve ? 1 : 0;
                _zones = true;
                break;
            case LineKind.Reserve:
                _behind += _before == LineKind.ZoneLine ? 1 : 0;
                break;
            case LineKind.FreeList:
                _listsFirst |= !_zones;
                break;
            default:
                break;
        }

        _before = kind;
    }
}
