namespace MemSim.Explorer.Tests;

/// <summary>Where the data of other test projects lie.</summary>
internal static class TestData
{
    /// <summary>A report somebody pasted.</summary>
    public static string Case(string name) => Path.Combine(AppContext.BaseDirectory, "Data", "cases", name + ".txt");

    /// <summary>All of them.</summary>
    public static IEnumerable<string> Cases => Directory.EnumerateFiles(Path.Combine(AppContext.BaseDirectory, "Data", "cases"), "*.txt").Order(StringComparer.Ordinal);

    /// <summary>A recording with the lists before and after it.</summary>
    public static string Trace => Path.Combine(AppContext.BaseDirectory, "Data", "trace");
}
