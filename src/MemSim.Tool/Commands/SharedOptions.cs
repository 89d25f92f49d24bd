using System.CommandLine;

namespace MemSim.Tool.Commands;

/// <summary>Options that every verb has.</summary>
internal static class SharedOptions
{
    public static Option<bool> Json() => new("--json") { Description = "Print one JSON document instead of text." };

    /// <summary>A folder that must exist; <paramref name="name"/> is how the user named it.</summary>
    public static string ExistingDirectory(string name)
    {
        if (Directory.Exists(name))
        {
            return name;
        }

        throw new BadInputException(File.Exists(name) ? $"{name}: not a folder" : $"{name}: no such folder");
    }
}
