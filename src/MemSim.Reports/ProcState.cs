using System.Globalization;
using MemSim.Reports.Reading;

namespace MemSim.Reports;

/// <summary>Makes a report of a machine's <c>/proc</c> files, to ask what a request would meet there.</summary>
public static class ProcState
{
    /// <summary>Reads <c>zoneinfo</c>, <c>buddyinfo</c>, <c>pagetypeinfo</c>, <c>meminfo</c>, <c>slabinfo</c> and what names the kernel, as far as they are there.</summary>
    /// <param name="directory">A folder with these files: <c>/proc</c>, a copy of it, or a folder that has it as <c>proc</c>.</param>
    /// <param name="gfp">The flags of the request, as names or a number.</param>
    /// <param name="order">log2 of the pages asked for.</param>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    /// <exception cref="FileNotFoundException">There is neither <c>zoneinfo</c> nor <c>buddyinfo</c>.</exception>
    /// <exception cref="FormatException">A file is malformed; the message begins with its name and the line.</exception>
    public static KernelReport Read(string directory, GfpReading? gfp = null, int? order = null)
    {
        ArgumentNullException.ThrowIfNull(directory);
        if (!Directory.Exists(directory))
        {
            throw new DirectoryNotFoundException($"{directory}: no such folder");
        }

        string root = !File.Exists(Path.Combine(directory, "zoneinfo")) && !File.Exists(Path.Combine(directory, "buddyinfo")) && Directory.Exists(Path.Combine(directory, "proc")) ? Path.Combine(directory, "proc") : directory;
        string? Text(string name) => File.Exists(Path.Combine(root, name)) ? File.ReadAllText(Path.Combine(root, name)) : null;
        return Read(Text, root, gfp, order) ?? throw new FileNotFoundException($"{directory}: neither zoneinfo nor buddyinfo is there");
    }

    /// <summary>Reads the same files pasted one after the other, in any order; lines of anything else are left out.</summary>
    /// <param name="text">What was pasted.</param>
    /// <param name="gfp">The flags of the request, as names or a number.</param>
    /// <param name="order">log2 of the pages asked for.</param>
    /// <returns>The report; null where there is neither <c>zoneinfo</c> nor <c>buddyinfo</c>.</returns>
    /// <exception cref="FormatException">A file is malformed; the message begins with its name and its line.</exception>
    public static KernelReport? ReadText(string text, GfpReading? gfp = null, int? order = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        IReadOnlyDictionary<string, string> files = PastedFiles.Of(text);
        return Read(name => files.GetValueOrDefault(name), "", gfp, order);
    }

    private static KernelReport? Read(Func<string, string?> text, string root, GfpReading? gfp, int? order)
    {
        string? zoneInfo = text("zoneinfo");
        string? buddyInfo = text("buddyinfo");
        if (zoneInfo is null && buddyInfo is null)
        {
            return null;
        }

        KernelReport report = new() { Kind = ReportKind.State, Line = 1, LastLine = 1, Order = order, Gfp = gfp, HasHugePages = true, IsFromProc = true };
        ReadVersion(report, text("version") ?? text("sys/kernel/osrelease") ?? text("uname") ?? text("../sos_commands/kernel/uname_-a"));
        ProcFiles.MemInfo(report, text("meminfo"));
        int pageKiB = PageKiB(report, zoneInfo);
        if (zoneInfo is not null)
        {
            ProcFiles.ZoneInfo(report, zoneInfo, Path.Combine(root, "zoneinfo"), pageKiB);
        }

        if (buddyInfo is not null)
        {
            ProcFiles.BuddyInfo(report, buddyInfo, Path.Combine(root, "buddyinfo"), pageKiB);
        }

        if (text("pagetypeinfo") is { } types)
        {
            ProcFiles.PageTypeInfo(report, types, pageKiB);
        }

        ProcFiles.SlabInfo(report, text("slabinfo"), pageKiB);
        return report;
    }

    private static void ReadVersion(KernelReport report, string? text)
    {
        foreach (string word in (text ?? "").Split([' ', '\t', '\n'], StringSplitOptions.RemoveEmptyEntries))
        {
            if (word.Length < 200 && KernelRelease.TryParse(word, out KernelRelease version))
            {
                (report.Release, report.Version) = (word, version);
                break;
            }
        }

        int debian = (text ?? "").IndexOf("Debian ", StringComparison.Ordinal);
        if (debian >= 0 && report.Version is { } release && KernelRelease.TryParse(text.AsSpan(debian + 7), out KernelRelease build) && (build.Major, build.Minor) == (release.Major, release.Minor) && build > release)
        {
            report.BuildVersion = build;
        }
    }

    /// <summary>The page size: the ratio of what meminfo and zoneinfo say is free; 4 where nothing tells.</summary>
    private static int PageKiB(KernelReport report, string? zoneInfo)
    {
        if (!report.MemInfo.TryGetValue("MemFree", out long kib) || zoneInfo is null)
        {
            return 4;
        }

        long pages = 0;
        foreach (string line in zoneInfo.Split('\n'))
        {
            ReadOnlySpan<char> text = line.AsSpan().Trim();
            if (text.StartsWith("pages free", StringComparison.Ordinal) && long.TryParse(text[10..].Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long free))
            {
                pages += free;
            }
        }

        foreach (int size in (ReadOnlySpan<int>)[4, 8, 16, 32, 64, 256])
        {
            if (pages > 64 && Math.Abs(((double)kib / pages) - size) < size * 0.4)
            {
                return size;
            }
        }

        return 4;
    }
}
