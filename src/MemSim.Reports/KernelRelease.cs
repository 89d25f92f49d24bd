using System.Globalization;

namespace MemSim.Reports;

/// <summary>A kernel version as rules depend on it: three numbers, <c>2.6.28</c> or <c>6.12.0</c>.</summary>
/// <param name="Major">First number.</param>
/// <param name="Minor">Second number.</param>
/// <param name="Patch">Third number; 0 where it is not told.</param>
public readonly record struct KernelRelease(int Major, int Minor, int Patch = 0) : IComparable<KernelRelease>
{
    /// <summary>Before every kernel whose reports are known.</summary>
    public static KernelRelease Oldest { get; } = new(2, 6, 0);

    /// <summary>After every kernel there is.</summary>
    public static KernelRelease Newest { get; } = new(999, 0, 0);

    /// <inheritdoc/>
    public int CompareTo(KernelRelease other) => (Major, Minor, Patch).CompareTo((other.Major, other.Minor, other.Patch));

    /// <summary>Whether the left version is older.</summary>
    public static bool operator <(KernelRelease left, KernelRelease right) => left.CompareTo(right) < 0;

    /// <summary>Whether the left version is newer.</summary>
    public static bool operator >(KernelRelease left, KernelRelease right) => left.CompareTo(right) > 0;

    /// <summary>Whether the left version is not newer.</summary>
    public static bool operator <=(KernelRelease left, KernelRelease right) => left.CompareTo(right) <= 0;

    /// <summary>Whether the left version is not older.</summary>
    public static bool operator >=(KernelRelease left, KernelRelease right) => left.CompareTo(right) >= 0;

    /// <summary>Reads the version at the beginning of a release text such as <c>5.19.0-1-amd64</c>.</summary>
    /// <param name="text">The text.</param>
    /// <param name="version">The version, when there is one.</param>
    public static bool TryParse(ReadOnlySpan<char> text, out KernelRelease version)
    {
        version = default;
        if (!Number(ref text, out int major) || text.IsEmpty || text[0] != '.')
        {
            return false;
        }

        text = text[1..];
        if (major is < 1 or > 99 || !Number(ref text, out int minor))
        {
            return false;
        }

        int patch = 0;
        if (text.Length > 1 && text[0] == '.' && char.IsAsciiDigit(text[1]))
        {
            text = text[1..];
            Number(ref text, out patch);
        }

        version = new KernelRelease(major, minor, patch);
        return true;
    }

    /// <summary>The version as text, always with three numbers.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Major}.{Minor}.{Patch}");

    private static bool Number(ref ReadOnlySpan<char> text, out int value)
    {
        int digits = 0;
        while (digits < text.Length && digits < 6 && char.IsAsciiDigit(text[digits]))
        {
            digits++;
        }

        bool good = int.TryParse(text[..digits], NumberStyles.None, CultureInfo.InvariantCulture, out value);
        text = text[digits..];
        return good;
    }
}
