namespace MemSim.Explorer.Pictures;

/// <summary>Free pages of every zone at one moment.</summary>
/// <param name="Event">How many tracepoints had fired.</param>
/// <param name="FreePages">By zone, in the machine's order.</param>
public readonly record struct MemorySample(long Event, long[] FreePages);
