namespace MemSim.Reports.Tests;

/// <summary>The logs of the tests: real reports, shortened, without names of people and machines.</summary>
internal static class Logs
{
    public static string Folder => Path.Combine(AppContext.BaseDirectory, "Data");

    public static string Case(string id) => File.ReadAllText(Directory.GetFiles(Path.Combine(Folder, "cases"), id + "-*.txt").Single());

    public static string Field(string id) => File.ReadAllText(Directory.GetFiles(Path.Combine(Folder, "field"), id + "-*.txt").Single());

    public static IReadOnlyList<ReportExplanation> Explain(string text) => [.. KernelLog.Read(text).Select(r => ReportExplainer.Explain(r))];

    public static ReportExplanation Only(string text) => Explain(text).Single();

    public static ZoneOutcome Zone(this ReportExplanation explanation, string name, int node = 0) => explanation.Zones.Single(z => z.Name == name && z.Node == node);
}
