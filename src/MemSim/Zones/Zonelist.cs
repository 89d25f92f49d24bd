namespace MemSim.Zones;

/// <summary>The zones a request may use, best first: its own node's from the highest usable kind down, then those of farther nodes.</summary>
/// <remarks>Kernel: <c>struct zonelist</c>, already cut at the highest usable zone of the request.</remarks>
internal sealed class Zonelist
{
    public Zonelist(Zone[] zones, int highestZoneIndex, bool avoidsFragmentation)
    {
        Zones = zones;
        HighestZoneIndex = highestZoneIndex;
        AvoidsFragmentation = avoidsFragmentation;
    }

    /// <summary>Populated zones only.</summary>
    public readonly Zone[] Zones;

    /// <summary>The kernel index of the highest zone the request may use: selects the lowmem reserve.</summary>
    public readonly int HighestZoneIndex;

    /// <summary>Whether a first attempt should rather go to another zone than mix migrate types in a page block (6.1: only where Normal comes first and DMA32 exists).</summary>
    public readonly bool AvoidsFragmentation;
}
