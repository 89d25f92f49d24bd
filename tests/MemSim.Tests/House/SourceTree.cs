using System.Runtime.CompilerServices;

namespace MemSim.Tests.House;

/// <summary>Where the sources lie that the tests were built from.</summary>
internal static class SourceTree
{
    /// <summary>The folder of this test project.</summary>
    public static string TestFolder([CallerFilePath] string file = "")
    {
        // Deterministic builds record the source as /_/…: look upwards from the test assembly then.
        string recorded = Path.GetDirectoryName(Path.GetDirectoryName(file)!)!;
        if (File.Exists(Path.Combine(recorded, "MemSim.Tests.csproj")))
        {
            return recorded;
        }

        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "MemSim.Tests.csproj")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new DirectoryNotFoundException("the tests' sources are not above the test assembly");
    }
}
