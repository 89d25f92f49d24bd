namespace MemSim.Tool.Viewing;

/// <summary>Finds the explorer's files: beside the tool where it was packed, else what a build of the repository left.</summary>
internal static class ExplorerSite
{
    private const string StartFile = "index.html";
    private const string RuntimeFile = "_framework/blazor.webassembly.js";

    private static readonly string[] s_configurations = ["Release", "Debug"];

    /// <summary>The folders that together have all files; earlier ones win.</summary>
    /// <param name="given">The folder a user named; null to look for it.</param>
    /// <exception cref="BadInputException">There is none; the message says how to make one.</exception>
    public static IReadOnlyList<string> Find(string? given)
    {
        if (given is not null)
        {
            string[] named = [given, Path.Combine(given, "wwwroot")];
            return named.FirstOrDefault(IsWhole) is { } site ? [site] : throw new BadInputException($"{given}: no published explorer (no {StartFile} with {RuntimeFile}); dotnet publish src/MemSim.Explorer -c Release -o DIR makes one");
        }

        string packed = Path.Combine(AppContext.BaseDirectory, "explorer");
        if (IsWhole(packed))
        {
            return [packed];
        }

        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string project = Path.Combine(folder.FullName, "src", "MemSim.Explorer");
            if (!Directory.Exists(Path.Combine(project, "wwwroot")))
            {
                continue;
            }

            // The build is newer than what was published before, and has one root for what is written and one for what is made.
            string[] built = [.. s_configurations.Select(c => Path.Combine(project, "bin", c, "net10.0", "wwwroot")).Where(p => File.Exists(Path.Combine(p, RuntimeFile)))];
            if (built.Length != 0)
            {
                return [Path.Combine(project, "wwwroot"), built.MaxBy(p => File.GetLastWriteTimeUtc(Path.Combine(p, "_framework", "MemSim.Explorer.wasm")))!];
            }
        }

        throw new BadInputException("the explorer is not here: dotnet publish src/MemSim.Explorer -c Release -o DIR makes it, memsim view --site DIR shows it");
    }

    private static bool IsWhole(string folder) => File.Exists(Path.Combine(folder, StartFile)) && File.Exists(Path.Combine(folder, RuntimeFile));
}
