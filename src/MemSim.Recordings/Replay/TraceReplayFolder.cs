using System.Globalization;
using MemSim.Captures;
using MemSim.Kernels;

namespace MemSim.Recordings.Replay;

/// <summary>A recording's files: the trace and what was read before and after it.</summary>
internal sealed class TraceReplayFolder
{
    private static readonly string[] TracePatterns = ["trace.txt.gz", "trace.txt", "*report*.txt.gz", "*report*.txt", "*script*.txt.gz", "*script*.txt"];

    private readonly string? _figures;
    private readonly string _prefix;

    private TraceReplayFolder(string tracePath, string? figures, string prefix)
    {
        TracePath = tracePath;
        _figures = figures;
        _prefix = prefix;
    }

    /// <summary>The recorded events.</summary>
    public string TracePath { get; }

    /// <summary>The folder's name and, unless it is the usual one, that of the trace.</summary>
    public string Name
    {
        get
        {
            string file = Path.GetFileName(TracePath);
            string? folder = Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(TracePath)));
            return file is "trace.txt" or "trace.txt.gz" && folder is not null ? folder : $"{folder}/{file}";
        }
    }

    /// <summary>The traces in a folder, the usual name first.</summary>
    public static IReadOnlyList<string> TracesIn(string directory)
    {
        if (!Directory.Exists(directory))
        {
            return [];
        }

        foreach (string usual in TracePatterns.Take(2))
        {
            if (File.Exists(Path.Combine(directory, usual)))
            {
                return [Path.Combine(directory, usual)];
            }
        }

        return [.. TracePatterns.Skip(2).SelectMany(p => Directory.EnumerateFiles(directory, p)).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
    }

    /// <summary>Finds the files of a folder or of a trace in it.</summary>
    public static TraceReplayFolder Open(string path, string? figures)
    {
        string trace = path;
        if (Directory.Exists(path))
        {
            IReadOnlyList<string> traces = TracesIn(path);
            trace = traces.Count != 0 ? traces[0] : throw new InputFileException(Path.Combine(path, "trace.txt.gz"), 0, "no such file, nor a report of trace-cmd or a script of perf");
        }

        string directory = figures ?? Path.GetDirectoryName(Path.GetFullPath(trace)) ?? ".";

        // Two tools' recordings share a folder: "trace-cmd-before-zoneinfo" belongs to "trace-cmd-report.txt.gz".
        string prefix = "";
        string name = Path.GetFileName(trace);
        foreach (string file in Directory.Exists(directory) ? Directory.EnumerateFiles(directory, "*before-zoneinfo") : [])
        {
            string candidate = Path.GetFileName(file)[..^"before-zoneinfo".Length];
            if (candidate.Length > prefix.Length && name.StartsWith(candidate, StringComparison.Ordinal))
            {
                prefix = candidate;
            }
        }

        return new TraceReplayFolder(trace, Directory.Exists(directory) ? directory : null, prefix);
    }

    /// <summary>A file read before or after the trace, plain or packed; null where there is none.</summary>
    public string? Find(string name)
    {
        foreach (string candidate in (string[])[_prefix + name, _prefix + name + ".gz"])
        {
            if (_figures is not null && File.Exists(Path.Combine(_figures, candidate)))
            {
                return Path.Combine(_figures, candidate);
            }
        }

        return null;
    }

    /// <summary>As <see cref="Find"/>, of a capture's folder too, whose files have no <c>before-</c>.</summary>
    public string? FindBefore(string name) => Find("before-" + name) ?? Find(name);

    /// <summary>Free blocks by type as counted before the trace; null where they were not.</summary>
    public RecordedFreeBlocks? FreeBlocksBefore() => _figures is null || _prefix.Length != 0 ? null : RecordedFreeBlocks.Read(CaptureFolder.Open(_figures));

    /// <summary>The kernel that made the recording, where a file beside it names it; else the line that the figures look like.</summary>
    public KernelChoice Kernel()
    {
        foreach (string name in (string[])["uname", "version", "dmesg.txt", "dmesg"])
        {
            string? text = FindBefore(name) is { } path ? InputFile.ReadText(path) : null;
            text = name.StartsWith("dmesg", StringComparison.Ordinal) && text is not null ? BootLog.Parse(text).Version : text;
            if (text is not null && KernelChoice.TryFor(text, out KernelChoice? choice))
            {
                return choice;
            }
        }

        if (KernelRelease() is { } release && KernelChoice.TryFor(release, out KernelChoice? recorded))
        {
            return recorded;
        }

        string? lists = FindBefore("mmlists") ?? FindBefore("zoneinfo");
        return lists is not null && InputFile.ReadText(lists).Contains("high_min", StringComparison.Ordinal)
            ? KernelChoice.Unknown(KernelLines.Linux6_18, "the limits of per-CPU lists are recorded with their bounds, which 6.18 first prints")
            : KernelChoice.Unknown(KernelLines.Linux6_1, "no file beside the trace tells more");
    }

    /// <summary>The release that perf's header in the trace names (<c>perf script --header</c>: <c># os release : 6.18.44</c>); null without one.</summary>
    private string? KernelRelease()
    {
        const string Release = "# os release : ";
        if (!File.Exists(TracePath))
        {
            // A folder of figures alone, whose program is run.
            return null;
        }

        using StreamReader text = InputFile.OpenText(TracePath);
        while (text.ReadLine() is { } line && line.StartsWith('#'))
        {
            if (line.StartsWith(Release, StringComparison.Ordinal))
            {
                return line[Release.Length..].Trim();
            }
        }

        return null;
    }

    /// <summary>The counts that the index beside the folder has for this trace, by event name; empty where there is none.</summary>
    public IReadOnlyDictionary<string, long> IndexedCounts()
    {
        Dictionary<string, long> counts = new(StringComparer.Ordinal);
        string? folder = Path.GetDirectoryName(Path.GetFullPath(TracePath));
        string index = Path.Combine(Path.GetDirectoryName(folder ?? ".") ?? ".", "index.tsv");
        if (folder is null || !File.Exists(index))
        {
            return counts;
        }

        foreach (string line in File.ReadLines(index))
        {
            string[] columns = line.Split('\t');
            if (columns.Length < 7 || columns[0] != Path.GetFileName(folder))
            {
                continue;
            }

            foreach (string word in columns[^1].Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                int equals = word.IndexOf('=', StringComparison.Ordinal);
                if (equals > 0 && long.TryParse(word.AsSpan(equals + 1), NumberStyles.None, CultureInfo.InvariantCulture, out long count))
                {
                    counts[word[..equals]] = count;
                }
            }
        }

        return counts;
    }
}
