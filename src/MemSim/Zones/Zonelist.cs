namespace MemSim.Zones;

/// <summary>The zones a request may use, best first: its own node's from the highest usable kind down, then those of farther nodes.</summary>
/// <param name="zones">Zones with managed pages only.</param>
/// <param name="highestZoneIndex">The kernel index of the highest zone the request may use.</param>
/// <param name="isIllegal">Whether the flags contradict each other.</param>
/// <param name="avoidsFragmentation">Whether a first attempt avoids mixing.</param>
/// <remarks>Kernel: <c>struct zonelist</c>, already cut at the highest usable zone of the request.</remarks>
internal sealed class Zonelist(Zone[] zones, int highestZoneIndex, bool isIllegal, bool avoidsFragmentation)
{
    /// <summary>Zones with managed pages only.</summary>
    public readonly Zone[] Zones = zones;

    /// <summary>The kernel index of the highest zone the request may use: selects the lowmem reserve.</summary>
    public readonly int HighestZoneIndex = highestZoneIndex;

    /// <summary>Whether the zone flags contradict each other, on a machine that refuses that.</summary>
    public readonly bool IsIllegal = isIllegal;

    /// <summary>Whether a first attempt should rather go to another zone than mix migrate types in a page block (6.1: only where Normal comes first and DMA32 exists).</summary>
    public readonly bool AvoidsFragmentation = avoidsFragmentation;
}
