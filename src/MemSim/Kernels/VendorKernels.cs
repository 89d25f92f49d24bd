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

        return null;
    }
}
