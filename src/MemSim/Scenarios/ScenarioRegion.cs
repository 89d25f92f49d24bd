namespace MemSim.Scenarios;

/// <summary>A region of memory of a process of a scenario.</summary>
/// <param name="Kind">What backs it.</param>
/// <param name="Start">Its first address.</param>
/// <param name="Pages">Its length.</param>
internal readonly record struct ScenarioRegion(StepKind Kind, ulong Start, long Pages);
