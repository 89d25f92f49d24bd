using System.Globalization;

namespace MemSim.Kernels;

/// <summary>Major and minor number of a kernel.</summary>
/// <param name="Major">The first number.</param>
/// <param name="Minor">The second number.</param>
public readonly record struct KernelVersion(int Major, int Minor) : IComparable<KernelVersion>
{
    /// <summary>Finds a version in the text of <c>uname -a</c>, <c>uname -r</c>, <c>/proc/version</c> or the first line of a boot log.</summary>
    /// <param name="text">The text.</param>
    /// <param name="version">The version found.</param>
    /// <returns>Whether there is one.</returns>
    public static bool TryFind(string text, out KernelVersion version)
    {
        ArgumentNullException.ThrowIfNull(text);
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
                version = new KernelVersion(major, minor);
                return true;
            }
        }

        version = default;
        return false;
    }

    /// <summary>Whether one version is older than another.</summary>
    public static bool operator <(KernelVersion left, KernelVersion right) => left.CompareTo(right) < 0;

    /// <summary>Whether one version is newer than another.</summary>
    public static bool operator >(KernelVersion left, KernelVersion right) => left.CompareTo(right) > 0;

    /// <summary>Whether one version is older than another or the same.</summary>
    public static bool operator <=(KernelVersion left, KernelVersion right) => left.CompareTo(right) <= 0;

    /// <summary>Whether one version is newer than another or the same.</summary>
    public static bool operator >=(KernelVersion left, KernelVersion right) => left.CompareTo(right) >= 0;

    /// <inheritdoc/>
    public int CompareTo(KernelVersion other) => (Major, Minor).CompareTo((other.Major, other.Minor));

    /// <summary>As in <c>6.12</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Major}.{Minor}");
}
