namespace MemSim.Benchmarks.Growth;

/// <summary>One call whose cost is followed while something grows.</summary>
/// <param name="Name">What is called.</param>
/// <param name="Linear">Whether the kernel's own cost grows with the size as well: what is copied, printed or visited is that many.</param>
/// <param name="Run">Makes the call once.</param>
internal sealed record GrowthCall(string Name, bool Linear, Action Run);

/// <summary>A state of one size and the calls made in it.</summary>
/// <param name="Owner">What to dispose.</param>
/// <param name="Calls">The same calls for every size of an axis.</param>
internal sealed record GrowthState(IDisposable Owner, IReadOnlyList<GrowthCall> Calls);

/// <summary>Something that grows.</summary>
/// <param name="Name">What.</param>
/// <param name="Sizes">How many of it, ascending.</param>
/// <param name="Prepare">Makes the state of a size: seeded, the same each time.</param>
internal sealed record GrowthAxis(string Name, IReadOnlyList<long> Sizes, Func<long, GrowthState> Prepare);
