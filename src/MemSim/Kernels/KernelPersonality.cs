using System.Globalization;

namespace MemSim;

/// <summary>The rules that differ between kernel versions, as data: which version a simulated machine behaves like.</summary>
/// <remarks>Choose one of <see cref="Linux61"/> and <see cref="Linux612"/>, or let <see cref="Parse"/> choose from the text of <c>uname -a</c> or <c>/proc/version</c>.</remarks>
public sealed record KernelPersonality
{
    private KernelPersonality(string name)
    {
        Name = name;
    }

    /// <summary>The name of the rule set: <c>6.1</c> or <c>6.12</c>.</summary>
    public string Name { get; }

    /// <summary>Whether the Movable zone's min watermark is clamped to 32..128 pages and takes no share of <c>min_free_kbytes</c> on every architecture, not only where it lies in high memory.</summary>
    public bool ClampsMovableMin { get; private init; }

    /// <summary>
    /// The fraction of a zone that bounds its per-CPU lists from above when their limit moves between two bounds (<c>high_min</c>, <c>high_max</c>); 0 where
    /// the limit is fixed.
    /// </summary>
    public int PcpHighMaxFraction { get; private init; }

    /// <summary>Whether the limit of the per-CPU lists moves with the load between <c>high_min</c> and <c>high_max</c>.</summary>
    public bool TunesPcpHigh => PcpHighMaxFraction != 0;

    /// <summary>The largest order the buddy allocator keeps blocks of. 6.1 calls the first one it does not keep <c>MAX_ORDER</c>, 6.12 calls this one <c>MAX_PAGE_ORDER</c>.</summary>
    public int LargestOrder { get; private init; } = 10;

    /// <summary>Whether <c>/proc/zoneinfo</c> has a line for the promo watermark and the bounds of the per-CPU lists' limit.</summary>
    public bool PrintsPromoWatermark { get; private init; }

    /// <summary>Whether the order of a cache's slabs follows from the objects wanted alone (6.7 and later), or fewer objects are tried before more waste.</summary>
    public bool SlabOrderIgnoresFewerObjects { get; private init; }

    /// <summary>Linux 6.1, as Debian 12 builds it.</summary>
    public static KernelPersonality Linux61 { get; } = new("6.1");

    /// <summary>Linux 6.12, as Debian builds it.</summary>
    public static KernelPersonality Linux612 { get; } = new("6.12") { ClampsMovableMin = true, PcpHighMaxFraction = 8, PrintsPromoWatermark = true, SlabOrderIgnoresFewerObjects = true };

    /// <summary>The rule set for the kernel that a text names, the nearest one where the version is another.</summary>
    /// <param name="text">The text of <c>uname -a</c>, <c>uname -r</c>, <c>/proc/version</c> or the first line of a boot log.</param>
    /// <exception cref="FormatException">No version number is in the text.</exception>
    public static KernelPersonality Parse(string text) =>
        TryParse(text, out KernelPersonality? personality) ? personality : throw new FormatException($"no kernel version (like 6.1.0) in '{text}'");

    /// <summary>As <see cref="Parse"/>, without an exception.</summary>
    /// <param name="text">The text.</param>
    /// <param name="personality">The rule set, when a version was found.</param>
    public static bool TryParse(string text, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out KernelPersonality? personality)
    {
        ArgumentNullException.ThrowIfNull(text);
        personality = null;
        foreach (string word in text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
        {
            string[] parts = word.Split('.', 3);

            // A boot log's first line starts with the time 0.000000.
            if (parts.Length < 2 || !int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int major) || major == 0)
            {
                continue;
            }

            int digits = 0;
            while (digits < parts[1].Length && char.IsAsciiDigit(parts[1][digits]))
            {
                digits++;
            }

            if (digits != 0 && int.TryParse(parts[1].AsSpan(0, digits), NumberStyles.None, CultureInfo.InvariantCulture, out int minor))
            {
                // 6.7 brought the moving limit of the per-CPU lists: from there on 6.12 is the nearer one.
                personality = (major, minor).CompareTo((6, 7)) >= 0 ? Linux612 : Linux61;
                return true;
            }
        }

        return false;
    }

    /// <summary>The name with its kernel, e.g. <c>Linux 6.1</c>.</summary>
    public override string ToString() => "Linux " + Name;
}
