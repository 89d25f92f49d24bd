namespace MemSim.Kernels;

/// <summary>Which rows files and reports have, and how they are written.</summary>
public sealed record ViewRules
{
    /// <summary>Whether the files have the rows of 6.12: <c>/proc/zoneinfo</c> the promo watermark among them.</summary>
    public bool RowsOf6_12 { get; init; }

    /// <summary>Whether the boot log counts as <c>Total pages</c> all pages present, not those that memory maps and the like leave (6.12).</summary>
    public bool TotalPagesArePresent { get; init; }

    /// <summary>Whether the boot log tells of zonelists after the hash tables, and of the memory available after the allocators are up (6.12).</summary>
    public bool ZonelistsAfterTables { get; init; }
}
