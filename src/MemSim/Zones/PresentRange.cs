namespace MemSim.Zones;

/// <summary>Frames of a zone that exist.</summary>
/// <param name="Start">The first.</param>
/// <param name="End">The one after the last.</param>
/// <param name="Zone">The zone.</param>
internal readonly record struct PresentRange(long Start, long End, Zone Zone);
