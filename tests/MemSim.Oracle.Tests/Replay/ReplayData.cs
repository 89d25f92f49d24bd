namespace MemSim.Oracle.Tests.Replay;

/// <summary>Where the recorded runs and traces lie.</summary>
internal static class ReplayData
{
    public static string Exact => Path.Combine(AppContext.BaseDirectory, "Data", "exact");

    public static string Workload(string name) => Path.Combine(AppContext.BaseDirectory, "Data", "workloads", name);

    public static string Trace(string name) => Path.Combine(AppContext.BaseDirectory, "Data", "traces", name);
}
