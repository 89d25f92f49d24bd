namespace MemSim.Migration;

/// <summary>What a migration came to.</summary>
/// <param name="Succeeded">Pages moved (or found freed meanwhile).</param>
/// <param name="Failed">Pages not moved.</param>
/// <param name="NoMemory">Whether it ended early because there were no targets.</param>
internal readonly record struct MigrationResult(int Succeeded, int Failed, bool NoMemory);
