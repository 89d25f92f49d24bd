namespace MemSim.Zones;

/// <summary>Frames of memory that is there but that no zone has: memory blocks that are offline.</summary>
/// <param name="Start">The first.</param>
/// <param name="End">The one after the last.</param>
/// <param name="Node">The node the memory is near.</param>
internal readonly record struct OfflineRange(long Start, long End, int Node);
