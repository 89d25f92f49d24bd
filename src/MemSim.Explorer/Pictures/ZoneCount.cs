namespace MemSim.Explorer.Pictures;

/// <summary>What the picture shows of a zone, counted by who draws it.</summary>
/// <param name="Name">The zone.</param>
/// <param name="Free">Free blocks by order.</param>
/// <param name="Uses">Frames by use.</param>
public sealed record ZoneCount(string Name, int[] Free, Dictionary<string, int> Uses);
