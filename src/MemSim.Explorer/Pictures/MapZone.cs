namespace MemSim.Explorer.Pictures;

/// <summary>A zone of the picture.</summary>
/// <param name="Name">What to call it.</param>
/// <param name="Start">Its first frame.</param>
/// <param name="End">The frame after its last.</param>
public sealed record MapZone(string Name, long Start, long End);
