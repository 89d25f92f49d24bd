namespace MemSim.Explorer.Reports;

/// <summary>What a reader changes about a request and its machine, to see whether it would have passed.</summary>
/// <param name="Order">The order asked for.</param>
/// <param name="Gfp">The flags.</param>
/// <param name="MinPercent">The watermark min, in percent of the reported one.</param>
/// <param name="ReservePercent">What lower zones keep back, in percent of the reported.</param>
/// <param name="MoreMiB">Memory added, all of it free.</param>
public sealed record ReportKnobs(int Order, Gfp Gfp, int MinPercent = 100, int ReservePercent = 100, int MoreMiB = 0);

/// <summary>What the machine did with a request.</summary>
/// <param name="Passes">Whether it got its block.</param>
/// <param name="Zone">From which zone; empty where it failed.</param>
/// <param name="Zones">The checks, zone by zone.</param>
public sealed record KnobResult(bool Passes, string Zone, IReadOnlyList<ZoneExplanation> Zones);
