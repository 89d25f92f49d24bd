using System.CommandLine;
using MemSim.Kernels;
using MemSim.Reports;

namespace MemSim.Tool.Commands;

/// <summary>Options that every verb has.</summary>
internal static class SharedOptions
{
    public static Option<bool> Json() => new("--json") { Description = "Print one JSON document instead of text." };

    public static Option<string?> Kernel() => new("--kernel")
    {
        Description = "Follow the rules of this kernel (7.3, or the text of uname -a) instead of the one that the input names, else 6.1.",
        HelpName = "VERSION",
    };

    /// <summary>The kernel asked for; null where none was.</summary>
    public static KernelChoice? ToKernel(string? text) =>
        text is null ? null
        : KernelChoice.TryFor(text, out KernelChoice? choice) ? choice
        : throw new BadInputException($"--kernel: '{text}' is no kernel version (like 7.3 or 6.1.0-56-amd64)");

    /// <summary>The release asked for, by the same names, to the last number that is told; null where none was.</summary>
    public static KernelRelease? ToRelease(string? text)
    {
        if (ToKernel(text) is not { Version: { } version })
        {
            return null;
        }

        foreach (string word in text!.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
        {
            if (KernelVersion.TryFind(word, out _) && KernelRelease.TryParse(word, out KernelRelease release))
            {
                return release;
            }
        }

        return new KernelRelease(version.Major, version.Minor);
    }

    /// <summary>Says whose rules were used, and what there is to know about that.</summary>
    public static void WriteRules(TextWriter output, string kernel, IReadOnlyList<string> warnings)
    {
        output.WriteLine($"rules: {kernel}");
        WriteWarnings(output, warnings);
    }

    public static void WriteWarnings(TextWriter output, IReadOnlyList<string> warnings)
    {
        foreach (string warning in warnings)
        {
            output.WriteLine($"warning: {warning}");
        }
    }

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
