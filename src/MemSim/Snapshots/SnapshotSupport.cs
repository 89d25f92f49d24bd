using System.Diagnostics.CodeAnalysis;

namespace MemSim.Snapshots;

/// <summary>Whether this program can take snapshots of whole machines: one that is trimmed may leave out what they need.</summary>
internal static class SnapshotSupport
{
    /// <summary>The switch's name in the runtime configuration; what is not set is on.</summary>
    public const string Switch = "MemSim.Snapshots";

    /// <summary>Asked wherever whole machines are carried, so that trimming finds that nothing is left that does.</summary>
    [FeatureSwitchDefinition(Switch)]
    public static bool IsOn => !AppContext.TryGetSwitch(Switch, out bool on) || on;

    public static NotSupportedException Missing() => new($"this program was built without snapshots: {Switch} is off in its runtime configuration");
}
