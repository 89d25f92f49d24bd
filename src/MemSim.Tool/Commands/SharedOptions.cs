using System.CommandLine;
using MemSim.Kernels;

namespace MemSim.Tool.Commands;

/// <summary>Options that every verb has.</summary>
internal static class SharedOptions
{
    public static Option<bool> Json() => new("--json") { Description = "Print one JSON document instead of text." };

    public static Option<string?> Kernel() => new("--kernel") { Description = "Follow the rules of this kernel (6.1, 6.12, 7.3 ...), whatever the input says.", HelpName = "VERSION" };

    /// <summary>The kernel line that an option names; null where it was not given.</summary>
    public static KernelChoice? KernelOf(string? version) =>
        version is null ? null
        : KernelChoice.TryFor(version, out KernelChoice? choice) ? choice
        : throw new BadInputException($"--kernel: '{version}' is no version like 6.12");

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
