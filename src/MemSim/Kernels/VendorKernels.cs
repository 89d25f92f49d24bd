using System.Collections.Immutable;

namespace MemSim.Kernels;

/// <summary>Kernels that are not what their version says: vendors carry work of later kernels back, or rules of their own.</summary>
internal static class VendorKernels
{
    private static readonly ImmutableArray<(string Mark, string Vendor, string Known)> Marks =
    [
        ("-android", "Android", "CMA, vendor hooks in the page allocator and its own reclaim settings; 16K pages on some devices"),
        (".el8", "Red Hat Enterprise Linux 8", "named 4.18, with memory management of up to 5.x; batches computed from the first section of a zone"),
        (".el9", "Red Hat Enterprise Linux 9", "named 5.14, with memory management of up to 6.x"),
        (".el10", "Red Hat Enterprise Linux 10", "named 6.12, with later work carried back"),
        (".el7", "Red Hat Enterprise Linux 7", "named 3.10, with memory management of up to 4.x"),
        (".el6", "Red Hat Enterprise Linux 6", "named 2.6.32, with memory management of up to 3.x"),
        ("uek", "Oracle UEK", "work of later kernels carried back"),
        (".fc", "Fedora", "another configuration than Debian's"),
        (".amzn", "Amazon Linux", "work of later kernels carried back"),
        ("-microsoft", "WSL 2", "another configuration than Debian's, memory comes and goes by balloon"),
        ("ubuntu", "Ubuntu", "another configuration than Debian's and patches of its own"),
        ("-generic", "Ubuntu", "another configuration than Debian's and patches of its own"),
        ("-lowlatency", "Ubuntu", "another configuration than Debian's and patches of its own"),
        ("-azure", "Ubuntu for Azure", "another configuration than Debian's and patches of its own"),
        ("-aws", "Ubuntu for AWS", "another configuration than Debian's and patches of its own"),
        ("-gcp", "Ubuntu for Google Cloud", "another configuration than Debian's and patches of its own"),
        ("-pve", "Proxmox", "Ubuntu's kernel with patches of its own"),
        ("-default", "SUSE", "work of later kernels carried back"),
        ("-arch", "Arch Linux", "another configuration than Debian's"),
        ("-rpi", "Raspberry Pi OS", "another configuration than Debian's"),
        ("-cloud-", "Debian's cloud kernel", "another configuration than the usual one"),
        ("-rt", "a real-time kernel", "locks that sleep, per-CPU lists and statistics that work otherwise"),
    ];

    /// <summary>What Debian's releases end in.</summary>
    private static readonly ImmutableHashSet<string> Architectures = ["amd64", "686", "pae", "arm64", "armmp", "lpae", "i386", "marvell", "ppc64el", "powerpc64le", "riscv64", "s390x"];

    /// <summary>The vendor whose kernel a text names; null for Debian's or the plain one.</summary>
    public static (string Vendor, string Known)? Find(string text)
    {
        foreach ((string mark, string vendor, string known) in Marks)
        {
            int at = text.IndexOf(mark, StringComparison.OrdinalIgnoreCase);

            // Part of a longer number or word it is another mark: .el8 in .el80, -rt in -rtai.
            if (at >= 0 && !(mark is ".el6" or ".el7" or ".el8" or ".el9" && at + mark.Length < text.Length && char.IsAsciiDigit(text[at + mark.Length]))
                && !(mark == "-rt" && at + mark.Length < text.Length && char.IsAsciiLetter(text[at + mark.Length])))
            {
                return (vendor, known);
            }
        }

        return Release(text) is { } release && !IsUsual(release) && !text.Contains("debian", StringComparison.OrdinalIgnoreCase)
            ? ($"somebody else than Debian, by its name {release}", "its configuration, and what it carries besides, are not known")
            : null;
    }

    /// <summary>The word that names the release: the first that begins with a version.</summary>
    private static string? Release(string text) =>
        Array.Find(text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries), word => KernelVersion.TryFind(word, out _))?.TrimEnd(')', ',', ';', ':', '\'', '"');

    /// <summary>Whether a release is named as the kernel's own are, or Debian's: 6.18.15+deb13-amd64, 6.1.0-50-686-pae, 7.3-rc1.</summary>
    private static bool IsUsual(string release)
    {
        string end = release.TrimStart('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '.');
        return end.Contains("deb", StringComparison.Ordinal) || end.Contains("bpo", StringComparison.Ordinal)
            || Array.TrueForAll(end.Split(['-', '+', '.', '~'], StringSplitOptions.RemoveEmptyEntries), IsUsualPart);
    }

    private static bool IsUsualPart(string part) =>
        part.All(char.IsAsciiDigit) || Architectures.Contains(part)
        || (part.StartsWith("rc", StringComparison.Ordinal) && part.Length > 2 && part.AsSpan(2).IndexOfAnyExceptInRange('0', '9') < 0);
}
