using System.Collections.Immutable;

namespace MemSim.Kernels;

/// <summary>Kernels that are not what their version says: vendors carry work of later kernels back, or rules of their own.</summary>
internal static class VendorKernels
{
    private static readonly ImmutableArray<(string Mark, string Vendor, string Known)> Marks =
    [
        ("-android", "Android", "CMA, vendor hooks in the page allocator and its own reclaim settings, the multi-generational LRU on; 16K pages on some devices"),
        ("uek", "Oracle UEK", "work of later kernels carried back"),
        (".el8", "Red Hat Enterprise Linux 8", "named 4.18, with memory management of up to 5.x in its later minor releases; 8.0 has 4.18's batches of at most 31, computed from the first section of a zone"),
        (".el9", "Red Hat Enterprise Linux 9", "named 5.14, with memory management of up to 6.x in its later minor releases; 9.3 has 5.14's limits of per-CPU lists"),
        (".el10", "Red Hat Enterprise Linux 10", "named 6.12, with later work carried back"),
        (".el7", "Red Hat Enterprise Linux 7", "named 3.10, with memory management of up to 4.x; prints free_pcp of 4.2"),
        (".el6", "Red Hat Enterprise Linux 6", "named 2.6.32, with memory management of up to 3.x"),
        (".fc", "Fedora", "another configuration than Debian's: the multi-generational LRU is on"),
        (".amzn", "Amazon Linux", "work of later kernels carried back"),
        (".oe1", "openEuler", "work of later kernels carried back, and memory management of its own"),
        (".oe2", "openEuler", "work of later kernels carried back, and memory management of its own"),
        (".al7", "Alibaba Cloud Linux", "work of later kernels carried back, and watermarks and reclaim of its own"),
        (".al8", "Alibaba Cloud Linux", "work of later kernels carried back, and watermarks and reclaim of its own"),
        ("-microsoft", "WSL 2", "another configuration than Debian's: memory comes and goes by balloon, and free pages are reported to the host"),
        ("Chromium OS", "Container-Optimized OS or ChromiumOS", "work of later kernels carried back, another configuration than Debian's"),
        ("ChromiumOS", "Container-Optimized OS or ChromiumOS", "work of later kernels carried back, another configuration than Debian's"),
        ("-chromeos", "Container-Optimized OS or ChromiumOS", "work of later kernels carried back, another configuration than Debian's"),
        ("-rpi-2712", "Raspberry Pi OS", "pages of 16 KiB, which are not simulated"),
        ("-v8-16k", "Raspberry Pi OS", "pages of 16 KiB, which are not simulated"),
        ("-rpi", "Raspberry Pi OS", "another configuration than Debian's: CMA for the graphics"),
        ("-v8+", "Raspberry Pi OS", "another configuration than Debian's: CMA for the graphics"),
        ("-v7+", "Raspberry Pi OS", "another configuration than Debian's: CMA for the graphics"),
        ("-v7l+", "Raspberry Pi OS", "another configuration than Debian's: CMA for the graphics"),
        ("-raspi", "Ubuntu for Raspberry Pi", "another configuration than Debian's: CMA for the graphics"),
        ("geeko@", "SUSE", "work of later kernels carried back; rows of /proc that only SUSE has"),
        ("-aws", "Ubuntu for AWS", "another configuration than Debian's and patches of its own"),
        ("-azure", "Ubuntu for Azure", "another configuration than Debian's and patches of its own"),
        ("-gcp", "Ubuntu for Google Cloud", "another configuration than Debian's and patches of its own"),
        ("-gke", "Ubuntu for Google Cloud", "another configuration than Debian's and patches of its own"),
        ("-oracle", "Ubuntu for Oracle Cloud", "another configuration than Debian's and patches of its own"),
        ("-lowlatency", "Ubuntu", "another configuration than Debian's and patches of its own"),
        ("-generic", "Ubuntu", "another configuration than Debian's and patches of its own"),
        ("ubuntu", "Ubuntu", "another configuration than Debian's and patches of its own"),
        ("-pve", "Proxmox", "Ubuntu's kernel with patches of its own"),
        ("-default", "SUSE", "work of later kernels carried back; rows of /proc that only SUSE has"),
        ("-arch", "Arch Linux", "another configuration than Debian's: the multi-generational LRU is on"),
        ("-linuxkit", "Docker Desktop", "another configuration than Debian's"),
        ("-flatcar", "Flatcar Container Linux", "another configuration than Debian's"),
        ("-tegra", "NVIDIA Tegra", "CMA, a carve-out for graphics, patches of its own"),
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

        if (Release(text) is ['0' or '1' or '2' or '3' or '4' or '5' or '6' or '7' or '8' or '9', .., '+'])
        {
            return ("somebody who built it from changed sources, as its + says", "Google's Container-Optimized OS, Raspberry Pi OS and many others are named so; what they carry is not known");
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
