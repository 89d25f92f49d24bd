namespace MemSim.Kernels;

/// <summary>Which rows files and reports have, and how they are written.</summary>
public sealed record ViewRules
{
    /// <summary>Whether the files have the rows of 6.12: <c>/proc/zoneinfo</c> the promo watermark among them.</summary>
    public bool RowsOf6_12 { get; init; }
}
