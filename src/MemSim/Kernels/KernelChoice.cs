namespace MemSim.Kernels;

/// <summary>Which line a kernel's version leads to, and what to say about it.</summary>
public sealed class KernelChoice
{
    private KernelChoice(KernelPersonality line, KernelVersion? version, IReadOnlyList<string> warnings)
    {
        Line = line;
        Version = version;
        Warnings = warnings;
    }

    /// <summary>The rules to follow.</summary>
    public KernelPersonality Line { get; }

    /// <summary>The version that was asked for; null where the text names none.</summary>
    public KernelVersion? Version { get; }

    /// <summary>What the user must know: where the rules are those of another kernel, and what is known to differ. Empty where the line is the kernel's own.</summary>
    public IReadOnlyList<string> Warnings { get; }

    /// <summary>The line for the kernel that a text names.</summary>
    /// <param name="text">The text of <c>uname -a</c>, <c>uname -r</c>, <c>/proc/version</c>, the first line of a boot log, or a bare version.</param>
    /// <exception cref="FormatException">No version number is in the text.</exception>
    public static KernelChoice For(string text) =>
        TryFor(text, out KernelChoice? choice) ? choice : throw new FormatException($"no kernel version (like 6.1.0) in '{text}'");

    /// <summary>As <see cref="For"/>, without an exception.</summary>
    /// <param name="text">The text.</param>
    /// <param name="choice">The choice, when a version was found.</param>
    public static bool TryFor(string text, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out KernelChoice? choice)
    {
        choice = null;
        if (!KernelVersion.TryFind(text, out KernelVersion version))
        {
            return false;
        }

        List<string> warnings = [];
        KernelPersonality line = LineOf(version, warnings);
        if (VendorKernels.Find(text) is var (vendor, known))
        {
            warnings.Add($"a kernel of {vendor} ({known}): what it has besides Debian's kernel of that version is not simulated");
        }

        choice = new KernelChoice(line, version, warnings);
        return true;
    }

    /// <summary>The line of an input that does not name its kernel.</summary>
    /// <param name="line">The line that the rest of the input suggests.</param>
    /// <param name="why">What suggests it, e.g. <c>zoneinfo has no promo watermark</c>.</param>
    public static KernelChoice Unknown(KernelPersonality line, string why)
    {
        ArgumentNullException.ThrowIfNull(line);
        return new KernelChoice(line, null, [$"the input does not name its kernel: the rules of Linux {line.Name} are used ({why})"]);
    }

    /// <summary>A line chosen on purpose.</summary>
    /// <param name="line">The line.</param>
    public static KernelChoice Of(KernelPersonality line)
    {
        ArgumentNullException.ThrowIfNull(line);
        return new KernelChoice(line, null, []);
    }

    private static KernelPersonality LineOf(KernelVersion version, List<string> warnings)
    {
        if (version < VersionOf(KernelLines.Recorded[0]))
        {
            KernelPersonality old = version.Major <= 2 ? Linux2_6.Line : OlderKernels.RulesOf(version);
            List<string> differences = [.. OlderKernels.DifferencesOf(version)];
            warnings.Add($"Linux {version} is older than the kernels that were recorded: the rules of Linux 6.1 are used but for what is known to differ, and simulated: {string.Join("; ", differences)}");
            return old;
        }

        KernelPersonality line = KernelLines.Recorded.Last(l => VersionOf(l) <= version);
        if (VersionOf(line) != version)
        {
            string newer = line == KernelLines.Recorded[^1] ? "newer than the kernels that were recorded" : "between kernels that were recorded";
            string moving = !line.Reserves.TunesPcpHigh && version >= new KernelVersion(6, 7)
                ? "; known to differ: since 6.7 the limit of per-CPU lists moves between two bounds and refills double, as in Linux 6.12"
                : "";
            warnings.Add($"Linux {version} is {newer}: the rules of the nearest older line, Linux {line.Name}, are used{moving}");
        }

        return line;
    }

    private static KernelVersion VersionOf(KernelPersonality line) => KernelVersion.TryFind(line.Name, out KernelVersion version) ? version : default;
}
