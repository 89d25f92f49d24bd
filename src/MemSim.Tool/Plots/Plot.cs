namespace MemSim.Tool.Plots;

/// <summary>What is drawn: panels above each other over one axis.</summary>
/// <param name="Title">In large letters.</param>
/// <param name="Subtitle">What the machine is.</param>
/// <param name="XName">What goes to the right, with its unit.</param>
/// <param name="XMax">The right edge; the left one is 0.</param>
/// <param name="Phases">What happens from where on.</param>
/// <param name="Panels">From the top down.</param>
internal sealed record Plot(string Title, string Subtitle, string XName, double XMax, IReadOnlyList<PlotPhase> Phases, IReadOnlyList<PlotPanel> Panels);

/// <summary>Something that begins somewhere.</summary>
internal sealed record PlotPhase(double At, string Name);

/// <summary>A coordinate system.</summary>
/// <param name="Name">What it shows, with its unit.</param>
/// <param name="YMax">The top edge; what is higher is cut off.</param>
/// <param name="Series">In the order of drawing.</param>
/// <param name="Levels">Horizontal lines.</param>
internal sealed record PlotPanel(string Name, double YMax, IReadOnlyList<PlotSeries> Series, IReadOnlyList<PlotLevel> Levels);

/// <summary>A horizontal line with a name.</summary>
internal sealed record PlotLevel(string Id, string Name, double Value, string Color);

/// <summary>How a series is drawn.</summary>
internal enum PlotKind
{
    /// <summary>A line through the points.</summary>
    Line,

    /// <summary>A dotted line.</summary>
    DottedLine,

    /// <summary>An area on top of the bands before it; points are its own heights.</summary>
    Band,

    /// <summary>A triangle that points down at each point.</summary>
    DownMark,

    /// <summary>A triangle that points up.</summary>
    UpMark,

    /// <summary>A short upright line.</summary>
    TickMark,

    /// <summary>A cross.</summary>
    CrossMark,
}

/// <summary>Figures that belong together.</summary>
/// <param name="Id">A name for programs.</param>
/// <param name="Name">A name for people.</param>
/// <param name="Kind">How it is drawn.</param>
/// <param name="Color">As <c>#rrggbb</c>.</param>
/// <param name="Points">To the right and up.</param>
internal sealed record PlotSeries(string Id, string Name, PlotKind Kind, string Color, IReadOnlyList<PlotPoint> Points);

/// <summary>A point.</summary>
internal readonly record struct PlotPoint(double X, double Y);
