using MemSim.Observability;

namespace MemSim.Boot;

/// <summary>A state that a machine starts in instead of booting.</summary>
/// <param name="State">The state.</param>
/// <param name="Warnings">What of it was invented.</param>
internal sealed record StartState(AllocatorState State, IReadOnlyList<string> Warnings);
