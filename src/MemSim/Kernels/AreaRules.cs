namespace MemSim.Kernels;

/// <summary>Areas of address spaces and the calls on them, where kernels differ.</summary>
public sealed record AreaRules
{
    /// <summary>Whether a touched area may be merged into an untouched one before it (since 6.16, commit 879bca0a2c4f); before, only the other way round.</summary>
    public bool MergesUntouched { get; init; }

    /// <summary>Whether <c>mprotect()</c> that takes the right to write away from anonymous private memory gives its commit charge back, as long as no page of it was written (since 6.7, a patch of October 2023).</summary>
    public bool GivesChargeBack { get; init; }

    /// <summary>Whether <c>MADV_REMOVE</c> asks whether a shared mapping might be made writable (since 6.7; stable series have it since August 2025: 6.1.149, 6.6.103), not whether it is.</summary>
    public bool RemovesWhereWritable { get; init; }

    /// <summary>
    /// Whether <c>mremap()</c> to a fixed address moves all areas of a range whose length stays, with the gaps between and after them (since 6.17, says <c>mremap(2)</c>); and whether one that is to shrink and move is
    /// refused before its end is unmapped, where what is left would reach beyond the first area, and the target is looked at before the area.
    /// </summary>
    public bool MovesSeveralAreas { get; init; }
}
