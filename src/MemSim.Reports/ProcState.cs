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
        List<string> closed = [];
        KernelReport report = Read(name => Text(root, name, closed), root, gfp, order) ?? throw new FileNotFoundException(closed.Count == 0
            ? $"{directory}: neither zoneinfo nor buddyinfo is there"
            : $"{directory}: {string.Join(" and ", closed)} may not be read (ask as root, or copy the files as root)");
        if (closed.Count != 0)
        {
            report.Notes.Add($"{string.Join(", ", closed)} may not be read (root's alone on a live system): {(closed.Contains("pagetypeinfo") ? "migrate types of free blocks, and with them the highatomic reserve and CMA's blocks, are not known" : "what they tell is not known")}");
        }

        return report;
    }

    /// <summary>The text of a file; null where there is none, or it may not be read.</summary>
    private static string? Text(string root, string name, List<string> closed)
    {
        string path = Path.Combine(root, name);
        try
        {
            return File.Exists(path) ? File.ReadAllText(path) : null;
        }
        catch (UnauthorizedAccessException)
        {
            closed.Add(name);
            return null;
        }
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

    /// <summary>The page size: the ratio of what meminfo says in KiB and zoneinfo in pages, of all memory or of what is free; 4 where that is no page size.</summary>
    private static int PageKiB(KernelReport report, string? zoneInfo)
    {
        (long free, long managed) = (0, 0);
        foreach (string line in (zoneInfo ?? "").Split('\n'))
        {
            ReadOnlySpan<char> text = line.AsSpan().Trim();
            free += Pages(text, "pages free");
            managed += Pages(text, "managed");
        }

        bool some = false;
        foreach ((string name, long pages, double tolerance) in ((string, long, double)[])[("MemTotal", managed, 0.03), ("MemFree", free, 0.2)])
        {
            if (some || pages <= 64 || !report.MemInfo.TryGetValue(name, out long kib))
            {
                continue;
            }

            // What is free changes between two reads: it is asked only where all memory is not told.
            some = true;
            foreach (int size in (ReadOnlySpan<int>)[4, 8, 16, 32, 64, 256])
            {
                if (Math.Abs(((double)kib / pages) - size) < size * tolerance)
                {
                    return size;
                }
            }
        }

        if (some)
        {
            report.Notes.Add("meminfo and zoneinfo do not fit each other (other moments, or memory that no zone counts); pages are taken to be of 4 KiB");
        }

        return 4;
    }

    private static long Pages(ReadOnlySpan<char> line, string name) =>
        line.StartsWith(name, StringComparison.Ordinal) && long.TryParse(line[name.Length..].Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long pages) ? pages : 0;
}
